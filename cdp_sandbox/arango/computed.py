"""Computed values: attributes that a collection gives its documents whenever they are written.

Here belongs their definition and their computation. An expression is a query that has nothing to read but the
document, as `@doc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdp_sandbox.arango.aql import execute, parse
from cdp_sandbox.arango.errors import ArangoError

Document = dict[str, Any]

_EVENTS = ("insert", "update", "replace")
_DEFAULTS = {"computeOn": list(_EVENTS), "failOnWarning": False, "keepNull": True}
_NOT_COMPUTED = {"_key", "_id", "_rev", "_from", "_to"}


class _Nothing:
    """An expression of a computed value reads no collection."""

    def documents(self, collection: str) -> Sequence[Document]:
        raise _invalid(f"computed value expression uses collection '{collection}'")

    def document(self, identifier: str) -> Document | None:
        raise _invalid(f"computed value expression reads document '{identifier}'")

    def count(self, collection: str) -> int:
        raise _invalid(f"computed value expression uses collection '{collection}'")

    def indexes(self, collection: str) -> Sequence[Document]:
        raise _invalid(f"computed value expression uses collection '{collection}'")


def checked(definitions: Any) -> list[dict[str, Any]] | None:
    """Return the computed values that a request defines, None for none.

    Raises:
        ArangoError: 400/10, a definition makes no sense.
    """
    if definitions in (None, []):
        return None
    if not isinstance(definitions, list):
        raise _invalid("computedValues must be an array")
    complete = [_checked(definition) for definition in definitions]
    if len({definition["name"] for definition in complete}) != len(complete):
        raise _invalid("duplicate name in computedValues")
    return complete


def apply(definitions: list[dict[str, Any]] | None, document: Document, event: str) -> Document:
    """Return a document with what is computed of it. No value sees what another one computes.

    Args:
        definitions: The computed values of the collection.
        document: The document as it would be stored without them.
        event: insert, update or replace.
    """
    computed = document
    for definition in definitions or []:
        name = definition["name"]
        if event not in definition["computeOn"] or (name in document and not definition["overwrite"]):
            continue
        binds = {"doc": document} if "doc" in parse(definition["expression"]).bind_variables else {}
        (value,) = execute(
            definition["expression"], binds, _Nothing(), fail_on_warning=definition["failOnWarning"]
        ).rows
        if value is None and not definition["keepNull"]:
            computed = {key: member for key, member in computed.items() if key != name}
        else:
            computed = {**computed, name: value}
    return computed


def _checked(definition: Any) -> dict[str, Any]:
    if not isinstance(definition, dict):
        raise _invalid("a computed value must be an object")
    name, expression = definition.get("name"), definition.get("expression")
    if not isinstance(name, str) or not name or name in _NOT_COMPUTED:
        raise _invalid("invalid 'name' of a computed value")
    if not isinstance(definition.get("overwrite"), bool):
        raise _invalid("'overwrite' of a computed value must be a boolean")
    complete = {**_DEFAULTS, **definition}
    if not isinstance(complete["computeOn"], list) or not set(complete["computeOn"]) <= set(_EVENTS):
        raise _invalid("invalid 'computeOn' of a computed value")
    if not isinstance(expression, str):
        raise _invalid("'expression' of a computed value must be a string")
    try:
        parsed = parse(expression)
    except ArangoError as error:
        raise _invalid(f"invalid 'expression' of a computed value: {error.message}") from error
    if len(parsed.tree) != 1 or parsed.collections or not set(parsed.bind_variables) <= {"doc"}:
        raise _invalid("'expression' of a computed value must be one RETURN, of @doc alone")
    return complete


def _invalid(message: str) -> ArangoError:
    return ArangoError(400, 10, message)
