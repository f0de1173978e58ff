"""ingestion.yaml: the ingestors, with their registries, feeds, schedules and limits.

The file has the list ``ingestion``, as the file of the Commerce Mesh discovery node does (`discovery_node_form`). A
value may refer to a variable of the environment or of ``.env`` as ``${NAME}``; ``$${`` stands for ``${``. References
are replaced once, after the file was parsed, so that no value can become another key, item or reference. The file names
the variable that holds a password, not the password.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from croniter import croniter
from croniter.croniter import CroniterError
from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from cdp_platform import settings
from cdp_platform.catalog.allowed import Allowed, allowed
from cdp_platform.catalog.discovery_node_form import completed
from cdp_platform.errors import ConfigurationError, shown_address

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
# The same pattern as in `ops.tenant`.
_TENANT = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_PRESETS = {"@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight"}
_CRON_FIELDS = 5
_SCHEMES = {"http": {"http", "https"}, "cmp": {"http", "https"}, "ftp": {"ftp", "ftps"}}
_PLAIN = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

# The place of a value in the file: keys and positions from the top.
_Place = tuple[str | int, ...]


def _cron(schedule: str) -> str:
    """Check that it is five fields or a preset, as Dagster accepts them, and is due at some time."""
    fits = schedule in _PRESETS or len(schedule.split()) == _CRON_FIELDS
    try:
        if fits:
            croniter(schedule).get_next(float)
    except (CroniterError, ValueError):
        fits = False
    if not fits:
        # The message does not repeat the schedule, which may be from the environment.
        raise PydanticCustomError("cron", "is no cron schedule. Give five fields, such as '0 */4 * * *'")
    return schedule


def _allowed(entries: tuple[str, ...]) -> tuple[str, ...]:
    try:
        allowed(entries)
    except ValueError as error:
        raise PydanticCustomError("allowed", "{problem}", {"problem": str(error)}) from None
    return entries


class FeedLimits(BaseModel):
    """Limits of one round.

    Attributes:
        max_shard_bytes: of each document, decoded; ``5242880`` or ``5 MiB``.
        max_shards: of one feed.
        max_items: of one feed.
        max_share_gone: share of the live items that may vanish at once without an approval, 0 to 1.
        timeout_seconds: for each document, with all retries.
    """

    model_config = _PLAIN

    max_shard_bytes: ByteSize = Field(default=ByteSize(5 * 1024 * 1024), ge=1024)
    max_shards: int = Field(default=1000, ge=1)
    max_items: int = Field(default=1_000_000, ge=1)
    max_share_gone: float = Field(default=0.2, ge=0, le=1)
    timeout_seconds: float = Field(default=120, gt=0, le=3600)


class Filter(BaseModel):
    """The organizations of the registry that are taken; all of them if it is empty."""

    model_config = _PLAIN

    organization: tuple[Annotated[str, Field(pattern=r"^urn:cmp:org(id)?:\S+$")], ...] = ()


class Ingestor(BaseModel):
    """One registry, its feeds, and the tenant that they belong to.

    Attributes:
        name: unique in the file; names the partition, the schedule and the reports.
        source: kind of source; ``cmp`` means ``http``.
        root: folder, or address of one, that relative paths start from. A relative folder starts from the file's own.
        registry: path or address of the registry.
        feed: path or address of the feed's index, instead of the one that the registry names.
        schedule: cron, in UTC; None if only changes and people start a round.
        allow_addresses: hosts and networks outside the public internet that may be connected to.
        user: FTP user.
        password_variable: variable of the environment with the FTP user's password.
    """

    model_config = _PLAIN

    name: str = Field(pattern=_NAME)
    tenant: str = Field(pattern=_TENANT)
    source: Literal["local", "http", "cmp", "ftp"] = Field(alias="source_type")
    root: str = ""
    registry: str = Field(min_length=1)
    feed: str | None = Field(default=None, alias="feed_path", min_length=1)
    filter: Filter = Filter()
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    limits: FeedLimits = FeedLimits()
    allow_addresses: Annotated[tuple[str, ...], AfterValidator(_allowed)] = ()
    user: str = Field(default="anonymous", pattern=r"^[^\r\n\x00]+$")
    password_variable: str | None = Field(default=None, pattern=f"^{_VARIABLE}$")

    @property
    def allowed(self) -> Allowed:
        """Private hosts and networks that may be connected to."""
        return allowed(self.allow_addresses)

    @property
    def rejected_source(self) -> str:
        """The source of its rows in ``ops.rejected_record``."""
        return f"catalog:{self.name}"

    @property
    def organizations(self) -> tuple[str, ...]:
        """URNs of the organizations that are taken; empty for all."""
        return self.filter.organization

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        schemes = _SCHEMES.get(self.source, set())
        for field, value in (("root", self.root), ("registry", self.registry), ("feed_path", self.feed or "")):
            address = _split(field, value)
            if "@" in address.netloc:
                raise _wrong(field, "holds a user or a password. Give user and password_variable instead")
            if address.netloc and address.scheme not in schemes:
                fitting = " or ".join(f"{scheme}://" for scheme in sorted(schemes)) or "a path"
                raise _wrong(field, f"does not fit source_type {self.source}. Give {fitting}")
        if self.source == "local" and not self.root:
            raise _wrong("root", "is missing. Give the folder that holds registry and feed")
        if self.source == "ftp" and not _split("root", self.root).netloc:
            raise _wrong("root", "is missing. Give an address such as ftps://ftp.example.com/feeds")
        if self.source in {"http", "cmp"} and not self.root:
            for field, value in (("registry", self.registry), ("feed_path", self.feed)):
                if value and not _split(field, value).netloc:
                    raise _wrong(field, "is no whole address, and there is no root that it could start from")
        if self.root and self.source != "local" and not _split("root", self.root).netloc:
            raise _wrong("root", "is no address. Give one with its scheme, such as https://")
        return self


class _Document(BaseModel):
    model_config = _PLAIN

    ingestion: tuple[Ingestor, ...]


def configured() -> list[Ingestor]:
    """The ingestors of the file that INGESTION_CONFIG_PATH names; none if it is not set.

    Raises:
        ConfigurationError: as `load`.
    """
    path = settings.catalog().ingestion_config_path
    return load(path) if path is not None else []


def load(path: Path) -> list[Ingestor]:
    """The ingestors of a file, in its order.

    Raises:
        ConfigurationError: the file is missing or wrong; names file, line, ingestor and field, and no value of the
            environment.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise ConfigurationError(
            f"{shown_address(str(path))} cannot be read ({error.strerror}). INGESTION_CONFIG_PATH says where it is."
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
        raise ConfigurationError(f"{path} is empty. It needs a list `ingestion` (ingestion.yaml has an example).")
    lines: dict[_Place, int] = {}
    variables = settings.environment()
    document = completed(_Reader(path, variables, lines).read(node, ()), variables)
    try:
        ingestors = _Document.model_validate(document).ingestion
    except ValidationError as error:
        problems = "; ".join(_described(problem, document, lines) for problem in error.errors(include_url=False))
        # From None, because pydantic's message repeats the values, and a value may be a secret.
        raise ConfigurationError(f"{path}, {problems}.") from None
    _require_unique(ingestors, path, lines)
    return [_from_folder(one, path.parent) for one in ingestors]


def variable(name: str) -> str | None:
    """A variable of the environment or of ``.env``; None if it is missing or empty."""
    return settings.environment().get(name)


class _Reader:
    """Converts YAML nodes to plain values, and notes the line of each."""

    def __init__(self, path: Path, environment: Mapping[str, str], lines: dict[_Place, int]) -> None:
        self._path = path
        self._environment = environment
        self._lines = lines
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, place: _Place) -> Any:
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

    def _pairs(self, node: yaml.MappingNode, place: _Place) -> Iterator[tuple[str, Any]]:
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

    def _filled(self, value: str, place: _Place) -> str:
        def filled(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match[1]
            if not match[0].endswith("}") or not re.fullmatch(_VARIABLE, name):
                raise self._error(place, "only ${NAME} is understood, with the name of a variable. Write $${ for ${")
            if name not in self._environment:
                raise self._error(place, f"the variable {name} is not set. Set it in the environment or in .env")
            return self._environment[name]

        return _REFERENCE.sub(filled, value)

    def _error(self, place: _Place, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}, line {self._lines[place]}: {problem}.")


def _described(problem: ErrorDetails, document: Any, lines: Mapping[_Place, int]) -> str:
    place: _Place = problem["loc"]
    if problem["type"] == "cmp_address":
        place = (*place, problem["ctx"]["field"])
    shown = place
    while place and place not in lines:
        place = place[:-1]
    line = lines.get(place, 1)
    words = problem["msg"]
    if problem["type"] == "extra_forbidden" and shown[-1] == "allow_private_addresses":
        words = (
            "was replaced, as it opened too much. Name what may be connected to, such as "
            "allow_addresses: [10.0.0.0/8, feeds.internal], or take it out"
        )
    elif problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(shown[-1]), _known_fields(shown), 1)
        words = f"there is no such field{f'; {near[0]} may be meant' if near else '. Take it out'}"
    elif problem["type"] == "missing":
        words = "is missing"
        if shown[-1] == "tenant":
            words += ". Say whose products they are, or set DEFAULT_TENANT_ID"
    whose = _whose(shown, document)
    field = ".".join(str(part) for part in (shown[2:] if whose else shown))
    return f"{', '.join(part for part in (f'line {line}', whose, field) if part)}: {words}"


def _known_fields(place: _Place) -> list[str]:
    if len(place) == 1:
        return ["ingestion"]
    model = {"limits": FeedLimits, "filter": Filter}.get(str(place[2]), Ingestor) if len(place) > 3 else Ingestor
    return [field.alias or name for name, field in model.model_fields.items()]


def _whose(place: _Place, document: Any) -> str:
    match place:
        case ("ingestion", int(number), *_):
            ingestor = document["ingestion"][number]
            name = ingestor.get("name") if isinstance(ingestor, dict) else None
            return f"ingestor {name!r}" if isinstance(name, str) else f"ingestor {number + 1}"
    return ""


def _require_unique(ingestors: tuple[Ingestor, ...], path: Path, lines: Mapping[_Place, int]) -> None:
    first: dict[str, int] = {}
    for number, ingestor in enumerate(ingestors):
        line = lines["ingestion", number]
        # Names of Dagster schedules contain it, reduced to letters, digits and underscores.
        key = re.sub(r"[^a-z0-9]", "_", ingestor.name.lower())
        if key in first:
            raise ConfigurationError(
                f"{path}, line {line}: ingestor {ingestor.name!r} has the same name as the one on line {first[key]}."
                " Rename one."
            )
        first[key] = line


def _from_folder(ingestor: Ingestor, folder: Path) -> Ingestor:
    if ingestor.source != "local":
        return ingestor
    return ingestor.model_copy(update={"root": str(folder.absolute() / ingestor.root)})


def _split(field: str, value: str) -> Any:
    try:
        address = urlsplit(value)
        # urlsplit checks the port only when it is read.
        _ = address.port
    except ValueError:
        raise _wrong(field, "is no address. Correct it") from None
    return address


def _wrong(field: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("cmp_address", "{problem}", {"field": field, "problem": problem})
