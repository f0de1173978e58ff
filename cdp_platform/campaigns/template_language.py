"""The language of templates: the part of Jinja whose size and time are bounded by the template's own.

Whoever writes templates is not trusted with this machine. Jinja's sandbox keeps a template from reaching outside, but
lets ``'%100000000s'|format(1)``, ``'x' * 10**9`` and ``range(99999)`` in loops within loops take memory and time. So a
template is checked before anything of it runs: it may print a variable, choose by conditions, and use the filters
below. None of them makes a text that is much longer than what it was given, nothing repeats, and nothing is called.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cdp_platform.errors import QueryError

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

MAX_SOURCE = 200_000
"""Characters of one part of a template."""
MAX_OUTPUT = 500_000
"""Characters of one part of a message."""
MAX_VALUE = 1_000
"""Characters of one value of a person."""

_FILTERS = ("capitalize", "d", "default", "e", "escape", "lower", "title", "trim", "truncate", "upper")
_TESTS = ("defined", "undefined")
_ALLOWED = (
    *(
        "Template",
        "Output",
        "TemplateData",
        "Const",
        "Name",
        "If",
        "CondExpr",
        "And",
        "Or",
        "Not",
        "Compare",
        "Operand",
    ),
    *("Filter", "Test", "Keyword"),
)
_FORBIDDEN = {
    "For": "a loop. A person has one value of each variable",
    "Call": "a call. Write variables and filters only",
    "Getattr": "a part of a value. Write the variable alone",
    "Getitem": "a part of a value. Write the variable alone",
    "Concat": "`~`. Write both values one after the other",
    "Include": "an inclusion. Copy the text into the template",
    "Import": "an import. Copy the text into the template",
    "FromImport": "an import. Copy the text into the template",
    "Extends": "an inheritance. Copy the text into the template",
    "Macro": "a macro. Write the text where it belongs",
    "Assign": "a variable of its own. Write the value where it belongs",
}
# Line breaks and other controls: a value is one line, wherever it stands.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class NoMessageError(Exception):
    """No message can be made for this person; names the variable or the limit, and no value."""


@dataclass(frozen=True)
class Rendering:
    """A checked part of a template, ready to be rendered.

    Attributes:
        variables: names that it uses.
        always: names that it prints under no condition.
    """

    template: "Template"
    variables: frozenset[str]
    always: frozenset[str]

    def pieces(self, values: Mapping[str, Any]) -> list[str]:
        """The text for one person, in pieces: those of the template are the same object each time.

        Args:
            values: of variables; those that are None or blank are missing.

        Raises:
            NoMessageError: a variable is missing that is printed, or the text is too long.
        """
        from jinja2 import UndefinedError  # noqa: PLC0415 (definitions load without it)

        pieces, left = [], MAX_OUTPUT
        try:
            for piece in self.template.generate(values):
                left -= len(piece)
                if left < 0:
                    raise NoMessageError(f"the message has more than {MAX_OUTPUT} characters")
                pieces.append(str(piece))
        except UndefinedError as error:
            raise NoMessageError(str(error)) from None
        except (TypeError, ValueError) as error:
            raise NoMessageError(f"a condition compares what cannot be compared ({type(error).__name__})") from None
        return pieces


def value(given: object) -> str | None:
    """A value of a person as a template gets it: one line; None if there is nothing in it.

    Raises:
        NoMessageError: it is longer than any honest value.
    """
    text = " ".join(_CONTROLS.sub(" ", str(given)).split()) if given is not None else ""
    if len(text) > MAX_VALUE:
        raise NoMessageError(f"a value has more than {MAX_VALUE} characters")
    return text or None


@lru_cache(maxsize=256)
def rendering(source: str, known: frozenset[str], *, html: bool) -> Rendering:
    """A part of a template, checked and compiled.

    Args:
        source: as it was written.
        known: names of the variables that it may use.
        html: whether values are escaped for HTML.

    Raises:
        QueryError: it is not of this language; names line and problem.
    """
    from jinja2 import TemplateError, TemplateSyntaxError  # noqa: PLC0415 (definitions load without it)

    if len(source) > MAX_SOURCE:
        raise QueryError(f"it has more than {MAX_SOURCE} characters; leave some out")
    environment = _environment(html=html)
    try:
        tree = environment.parse(source)
        _check(tree, known)
        template = environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise QueryError(f"line {error.lineno}: {_sentence(error.message or 'no Jinja')}; correct it") from None
    except (TemplateError, RecursionError, ValueError, OverflowError, MemoryError) as error:
        raise QueryError(f"it is too deeply nested or no Jinja ({type(error).__name__}); write it simpler") from None
    return Rendering(template, frozenset(_names(tree)), frozenset(_printed(tree)))


def tags(source: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a source in their order, each with whether it is Jinja: a whole tag from ``{`` to ``}``.

    Raises:
        QueryError: it is no Jinja.
    """
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415 (definitions load without it)

    tag = ""
    try:
        for _, kind, text in _environment(html=True).lex(source):
            if kind == "data" and not tag:
                yield text, False
            elif kind.endswith("_end"):
                yield tag + text, True
                tag = ""
            else:
                tag += text
    except TemplateSyntaxError as error:
        raise QueryError(f"line {error.lineno}: {_sentence(error.message or 'no Jinja')}; correct it") from None


@lru_cache(maxsize=2)
def _environment(*, html: bool) -> "Environment":
    from jinja2 import StrictUndefined, Undefined  # noqa: PLC0415 (definitions load without it)
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 (definitions load without it)

    class Missing(StrictUndefined):
        """A value that the person does not have: it cannot be printed, and a condition may ask for it."""

        __slots__ = ()
        __bool__ = Undefined.__bool__  # ty: ignore[incompatible-method-override]
        __eq__ = Undefined.__eq__  # ty: ignore[incompatible-method-override]
        __ne__ = Undefined.__ne__  # ty: ignore[incompatible-method-override]
        __hash__ = Undefined.__hash__

    environment = ImmutableSandboxedEnvironment(
        autoescape=html, undefined=Missing, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


def _check(tree: "nodes.Template", known: Collection[str]) -> None:
    from jinja2 import nodes  # noqa: PLC0415 (definitions load without it)

    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        line = f"line {node.lineno or 1}"
        if kind not in _ALLOWED:
            problem = _FORBIDDEN.get(
                kind, f"{kind}, which templates do not have. Write variables, filters and `if` only"
            )
            raise QueryError(f"{line}: there is {problem}")
        if isinstance(node, nodes.Name) and node.name not in known:
            near = difflib.get_close_matches(node.name, known, 1)
            may_be = f"{near[0]} may be meant" if near else f"choose one of {', '.join(sorted(known))}"
            raise QueryError(f"{line}: there is no variable {node.name!r}; {may_be}")
        if isinstance(node, nodes.Const) and not isinstance(node.value, str | bool | int | None):
            raise QueryError(f"{line}: there is a number with a fraction. Write it as text")


def _names(node: "nodes.Node") -> Iterator[str]:
    from jinja2 import nodes  # noqa: PLC0415 (definitions load without it)

    return (name.name for name in node.find_all(nodes.Name))


def _printed(tree: "nodes.Template") -> Iterator[str]:
    """Names that stand outside of conditions, with or without filters."""
    from jinja2 import nodes  # noqa: PLC0415 (definitions load without it)

    for output in tree.body:
        for node in output.nodes if isinstance(output, nodes.Output) else ():
            inner = node
            while isinstance(inner, nodes.Filter) and inner.node is not None:
                inner = inner.node
            if isinstance(inner, nodes.Name):
                yield inner.name


def _sentence(message: str) -> str:
    if "end of comment" in message:
        # Style sheets that were made small have it.
        message += ", which `{#` begins: write `{ #` where it is none"
    return message.rstrip(".")
