"""Configuration files: YAML that a person writes, checked by a model, with errors that name file, line and field.

A value may refer to a variable of the environment or of ``.env`` as ``${NAME}``; ``$${`` stands for ``${``. References
are replaced once, after the file was parsed, so that no value can become another key, item or reference. No error
repeats a value, which may be a secret of the environment.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from cdp_platform import settings
from cdp_platform.errors import ConfigurationError, shown_address

VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")

Place: TypeAlias = tuple[str | int, ...]
"""Where a value is in the file: keys and positions from the top."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Entries:
    """How the errors call the entries of one list.

    Attributes:
        noun: what one entry is, such as ``ingestor``.
        named_by: the field that holds its name.
    """

    noun: str
    named_by: str = "name"


@dataclass(frozen=True)
class ConfigurationFile:
    """A file as it was parsed, with its references replaced.

    Attributes:
        path: the file.
        content: of any shape, since nothing was checked yet.
        lines: the line of each value.
    """

    path: Path
    content: Any
    lines: Mapping[Place, int] = field(repr=False)

    def checked(
        self,
        model: type[M],
        *,
        entries: Mapping[str, Entries],
        hints: Mapping[tuple[str, str], str] | None = None,
    ) -> M:
        """The content as a model.

        Args:
            model: what the file has to be.
            entries: how the entries of each list at the top are called.
            hints: words for what is wrong, by pydantic's type of the error and the field, instead of the usual ones.

        Raises:
            ConfigurationError: the content is wrong; names all problems, each with line, entry and field.
        """
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            problems = [
                self._described(problem, model, entries, hints or {}) for problem in error.errors(include_url=False)
            ]
            # From None, because pydantic's message repeats the values, and a value may be a secret.
            raise ConfigurationError(f"{self.path}, {'; '.join(problems)}.") from None

    def error(self, place: Place, problem: str) -> ConfigurationError:
        """An error that names the line of a place."""
        return ConfigurationError(f"{self.path}, line {self._line(place)}: {problem}.")

    def _line(self, place: Place) -> int:
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def _described(
        self,
        problem: ErrorDetails,
        model: type[BaseModel],
        entries: Mapping[str, Entries],
        hints: Mapping[tuple[str, str], str],
    ) -> str:
        kind = problem["type"]
        place = self._place(problem)
        words = problem["msg"]
        if (hint := hints.get((kind, str(place[-1]) if place else ""))) is not None:
            words = hint
        elif kind == "extra_forbidden":
            near = difflib.get_close_matches(str(place[-1]), _fields(model, problem["loc"][:-1]), 1)
            words = f"there is no such field{f'; {near[0]} may be meant' if near else '. Take it out'}"
        elif kind in {"missing", "union_tag_not_found"}:
            words = "is missing"
        elif kind == "union_tag_invalid":
            words = f"there is no such kind. Choose one of {problem['ctx']['expected_tags']}"
        whose = self._whose(place, entries)
        named = ".".join(str(part) for part in (place[2:] if whose else place))
        return f"{', '.join(part for part in (f'line {self._line(place)}', whose, named) if part)}: {words}"

    def _place(self, problem: ErrorDetails) -> Place:
        """The place of a problem. Pydantic's own has the tag of a union in it, which is no key of the file."""
        place: list[str | int] = []
        content = self.content
        *way, last = problem["loc"] or (None,)
        for part in way:
            if isinstance(part, str) and not (isinstance(content, dict) and part in content):
                continue
            place.append(part)
            content = content[part] if isinstance(content, dict | list) else None
        is_key = isinstance(content, dict) and last in content
        if isinstance(last, int) or (last is not None and (is_key or problem["type"] == "missing")):
            place.append(last)
        if problem["type"].startswith("union_tag"):
            place.append(problem["ctx"]["discriminator"].strip("'"))
        elif problem["type"] == "field":
            place.append(problem["ctx"]["field"])
        return tuple(place)

    def _whose(self, place: Place, entries: Mapping[str, Entries]) -> str:
        match place:
            case (str(listed), int(number), *_) if listed in entries:
                entry = self.content[listed][number]
                name = entry.get(entries[listed].named_by) if isinstance(entry, dict) else None
                return (
                    f"{entries[listed].noun} {name!r}"
                    if isinstance(name, str)
                    else f"{entries[listed].noun} {number + 1}"
                )
        return ""


def wrong(name: str, problem: str) -> PydanticCustomError:
    """What a validator of a whole model raises about one of its fields; ``problem`` is the end of a sentence."""
    return PydanticCustomError("field", "{problem}", {"field": name, "problem": problem})


def read(path: Path, *, setting: str, needs: str) -> ConfigurationFile:
    """Parse a file and replace its references.

    Args:
        path: the file.
        setting: the variable that says where it is, for the message.
        needs: what the file has to hold, as a sentence, for the message about an empty one.

    Raises:
        ConfigurationError: the file is missing or no such YAML; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise ConfigurationError(
            f"{shown_address(str(path))} cannot be read ({error.strerror}). {setting} says where it is."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8. Save it as such.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}, line {line}: no YAML: {error.problem}. Correct it.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"{path} is no YAML: it contains a character that YAML does not allow. Correct it."
        ) from error
    if node is None:
        raise ConfigurationError(f"{path} is empty. {needs}")
    lines: dict[Place, int] = {}
    content = _Reader(path, settings.environment(), lines).read(node, ())
    return ConfigurationFile(path, content, lines)


class _Reader:
    """Converts YAML nodes to plain values, and notes the line of each."""

    def __init__(self, path: Path, environment: Mapping[str, str], lines: dict[Place, int]) -> None:
        self._path = path
        self._environment = environment
        self._lines = lines
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        match node:
            case yaml.MappingNode():
                return dict(self._pairs(node, place))
            case yaml.SequenceNode():
                return [self.read(item, (*place, number)) for number, item in enumerate(node.value)]
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(place, "this is no value of its kind. Put it in quotes") from error
        return self._filled(value, place) if isinstance(value, str) else value

    def _pairs(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in seen:
                raise ConfigurationError(
                    f"{self._path}, line {key_node.start_mark.line + 1}: {key} is there twice. Remove one."
                )
            seen.add(key)
            value = self.read(value_node, (*place, key))
            self._lines[(*place, key)] = key_node.start_mark.line + 1
            yield key, value

    def _filled(self, value: str, place: Place) -> str:
        def filled(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match[1]
            if not match[0].endswith("}") or not re.fullmatch(VARIABLE, name):
                raise self._error(place, "only ${NAME} is understood, with the name of a variable. Write $${ for ${")
            if name not in self._environment:
                raise self._error(place, f"the variable {name} is not set. Set it in the environment or in .env")
            return self._environment[name]

        return _REFERENCE.sub(filled, value)

    def _error(self, place: Place, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}, line {self._lines[place]}: {problem}.")


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """Names of the fields that may stand at a place, as files have them."""
    models = [model]
    for part in place:
        if isinstance(part, int):
            continue
        named = [found for each in models if (found := _by_name(each).get(part)) is not None]
        # What is no field is the tag of a union.
        models = (
            [inner for annotation in named for inner in _models(annotation)]
            if named
            else [each for each in models if part in _tags(each)]
        )
    return [name for each in models for name in _by_name(each)]


def _by_name(model: type[BaseModel]) -> dict[str, Any]:
    return {each.alias or name: each.annotation for name, each in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _tags(model: type[BaseModel]) -> set[Any]:
    literals = (each for each in _by_name(model).values() if get_origin(each) is Literal)
    return {tag for each in literals for tag in get_args(each)}
