"""The schema of a collection: a JSON Schema that its documents must fit.

Here belongs the part of JSON Schema (draft 4) that is checked, and the refusal of any other. A server checks documents
as they will be stored, without the attributes that it makes itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.errors import ArangoError

Document = dict[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
# Each with the type it says something about, and what it says.
_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", lambda value, limit: value >= limit),
    "maximum": ("number", lambda value, limit: value <= limit),
    "minLength": ("string", lambda value, limit: len(value) >= limit),
    "maxLength": ("string", lambda value, limit: len(value) <= limit),
    "pattern": ("string", lambda value, pattern: re.search(pattern, value) is not None),
    "minItems": ("array", lambda value, limit: len(value) >= limit),
    "maxItems": ("array", lambda value, limit: len(value) <= limit),
    "required": ("object", lambda value, names: all(name in value for name in names)),
}
_KEYWORDS = {*_LIMITS, "type", "enum", "properties", "items", "additionalProperties"}
_NOTES = {"title", "description", "$schema", "default"}
_LEVELS = ("none", "new", "moderate", "strict")
_SYSTEM = {"_key", "_id", "_rev", "_from", "_to"}


def checked(definition: Any) -> dict[str, Any] | None:
    """Return the schema that a request defines, None for none.

    Raises:
        ArangoError: 400/1621, it is none; 501/9, it says what is not checked here.
    """
    if definition in (None, {}):
        return None
    malformed = ArangoError(400, 1621, "invalid schema validation parameter")
    if not isinstance(definition, dict) or not isinstance(definition.get("rule"), dict):
        raise malformed
    if definition.get("level", "strict") not in _LEVELS or definition.get("type", "json") != "json":
        raise malformed
    _check_rule(definition["rule"])
    return {"level": "strict", "type": "json", "message": "", **definition}


def enforce(schema: dict[str, Any] | None, new: Document, old: Document | None) -> None:
    """Let a document through, or raise.

    Raises:
        ArangoError: 400/1620, it does not fit, and the level says that it must.
    """
    if schema is None or schema["level"] == "none" or (schema["level"] == "new" and old is not None):
        return
    if _fits(_own(new), schema["rule"]):
        return
    if schema["level"] == "moderate" and old is not None and not _fits(_own(old), schema["rule"]):
        return
    raise ArangoError(400, 1620, schema["message"] or "schema validation failed")


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict):
        raise ArangoError(400, 1621, "invalid schema validation parameter")
    unknown = sorted(rule.keys() - _KEYWORDS - _NOTES)
    if unknown:
        raise refusals.not_implemented(f"{unknown[0]} in a schema")
    kinds = rule.get("type", [])
    if not all(kind in _TYPES for kind in (kinds if isinstance(kinds, list) else [kinds])):
        raise ArangoError(400, 1621, "invalid schema validation parameter")
    for part in rule.get("properties", {}).values():
        _check_rule(part)
    for part in (rule.get("items"), rule.get("additionalProperties")):
        if part is not None and not isinstance(part, bool):
            _check_rule(part)


def _fits(value: Any, rule: dict[str, Any]) -> bool:
    kinds = rule.get("type")
    if kinds is not None and not any(_TYPES[kind](value) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return False
    if "enum" in rule and not any(value == one and type(value) is type(one) for one in rule["enum"]):
        return False
    for keyword, (kind, holds) in _LIMITS.items():
        if keyword in rule and _TYPES[kind](value) and not holds(value, rule[keyword]):
            return False
    if isinstance(value, list) and isinstance(rule.get("items"), dict):
        return all(_fits(member, rule["items"]) for member in value)
    return not isinstance(value, dict) or _members_fit(value, rule)


def _members_fit(value: Document, rule: dict[str, Any]) -> bool:
    parts, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for name, member in value.items():
        part = parts.get(name, others)
        if part is False or (isinstance(part, dict) and not _fits(member, part)):
            return False
    return True


def _own(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in _SYSTEM}
