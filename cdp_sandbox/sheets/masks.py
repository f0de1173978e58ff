"""Field masks: which fields of an answer are wanted, or of a change are meant.

`a,b/c` and `a(b,c.d)` and `*` are read; the path may be written with dots or slashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cdp_sandbox.sheets.errors import RefusalError

# The wanted fields by name; an empty one wants all below it.
Mask = dict[str, "Mask"]

_TOKEN = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*|[*,()./])")


def parse(text: str) -> Mask:
    """Read a mask. One that wants everything is empty.

    Raises:
        RefusalError: 400, it is none.
    """
    tokens, place = [], 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if found is None:
            raise RefusalError(f"Invalid field mask: {text}")
        tokens.append(found[1])
        place = found.end()
    mask, rest = _fields(tokens, text)
    if rest or not tokens:
        raise RefusalError(f"Invalid field mask: {text}")
    return {} if "*" in mask else mask


def required(given: Mapping[str, Any], *allowed: str) -> Mask:
    """Return the mask of a change, with all names of `allowed` for `*`. Paths below these are not looked at.

    Raises:
        RefusalError: 400, there is none, or it names something else.
    """
    if not given.get("fields"):
        raise RefusalError("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    mask = parse(str(given["fields"]))
    for name in mask.keys() - set(allowed):
        raise RefusalError(f"Invalid field: {name}")
    return mask or {name: {} for name in allowed}


def apply(mask: Mask, answer: Any) -> Any:
    """Return what of an answer is wanted."""
    if not mask:
        return answer
    if isinstance(answer, list):
        return [apply(mask, one) for one in answer]
    if not isinstance(answer, Mapping):
        return answer
    return {name: apply(mask[name], value) for name, value in answer.items() if name in mask}


def merge(mask: Mask, before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the fields that a mask names taken from another; what is not there goes away."""
    if not mask:
        return {name: value for name, value in given.items() if value is not None}
    after = dict(before)
    twins = {_twin(name): {} for name, below in mask.items() if _twin(name) in {**before, **given} and not below}
    for name, below in (mask | twins).items():
        value = given.get(name)
        if below and isinstance(value or {}, Mapping):
            value = merge(below, before.get(name) or {}, value or {})
        if value is None or value == {}:
            after.pop(name, None)
        else:
            after[name] = value
    return after


def _twin(name: str) -> str:
    # Colors are said twice, see `cell_requests`.
    return name.removesuffix("Style") if name.endswith("ColorStyle") else f"{name}Style"


def _fields(tokens: list[str], text: str) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while True:
        tokens = _path(tokens, text, mask)
        if not tokens or tokens[0] != ",":
            return mask, tokens
        tokens = tokens[1:]


def _path(tokens: list[str], text: str, mask: Mask) -> list[str]:
    if not tokens or tokens[0] in {",", "(", ")", ".", "/"}:
        raise RefusalError(f"Invalid field mask: {text}")
    name, tokens = tokens[0], tokens[1:]
    seen = name in mask
    below = mask.setdefault(name, {})
    if tokens and tokens[0] in {".", "/"}:
        return _path(tokens[1:], text, {} if seen and not below else below)
    if tokens and tokens[0] == "(":
        inner, tokens = _fields(tokens[1:], text)
        if not tokens or tokens[0] != ")":
            raise RefusalError(f"Invalid field mask: {text}")
        if not seen or below:
            below.update(inner)
        return tokens[1:]
    below.clear()
    return tokens
