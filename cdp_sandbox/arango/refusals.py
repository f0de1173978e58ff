"""The refusals of the document store and the HTTP front: one function for each, with its status, number and text.

Here belongs the wording of errors, as a real 3.11 server words them. When to refuse is decided where the request is
handled; what the query engine refuses is worded there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdp_sandbox.arango.errors import ArangoError


class RevisionConflictError(ArangoError):
    """A document has another revision than the caller expects.

    Attributes:
        current: `_id`, `_key` and `_rev` of the document as it is now.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(412, 1200, "conflict, _rev values do not match")
        self.current = {name: document[name] for name in ("_id", "_key", "_rev")}


def not_implemented(what: str) -> ArangoError:
    """Something that a real server does and this stand-in does not."""
    return ArangoError(501, 9, f"not implemented by the sandbox: {what}")


def bad_parameter(message: str = "bad parameter") -> ArangoError:
    """A request that is not formed as the API wants it."""
    return ArangoError(400, 400, message)


def bad_value(message: str) -> ArangoError:
    """An option or an index definition with a value that makes no sense."""
    return ArangoError(400, 10, message)


def bad_type(message: str) -> ArangoError:
    """An option of the wrong type, or a number outside of its range."""
    return ArangoError(400, 17, message)


def bad_json(reason: str) -> ArangoError:
    """A body that is no JSON, or JSON that a real server cannot hold."""
    return ArangoError(400, 600, f"VPackError error: {reason}")


def forbidden(message: str = "forbidden") -> ArangoError:
    """An operation that nobody, or not this user, may do."""
    return ArangoError(403, 11, message)


def not_authorized() -> ArangoError:
    """No credentials, wrong ones, an expired token, or no access to the database."""
    return ArangoError(401, 11, "not authorized to execute this request")


def method_not_supported() -> ArangoError:
    """A path that exists, asked with a method that it doesn't know."""
    return ArangoError(405, 405, "method not supported")


def unknown_path(path: str) -> ArangoError:
    """A path that no server knows."""
    return ArangoError(404, 404, f"unknown path '{path}'")


def database_not_found() -> ArangoError:
    """The database in the path, or the one to be dropped, does not exist."""
    return ArangoError(404, 1228, "database not found")


def database_name_invalid() -> ArangoError:
    """A name that no database can have."""
    return ArangoError(400, 1229, "database name invalid")


def only_in_system_database() -> ArangoError:
    """Databases are created and dropped from `_system` only."""
    return ArangoError(403, 1230, "operation only allowed in system database")


def collection_not_found(name: str) -> ArangoError:
    """A collection that does not exist."""
    return ArangoError(404, 1203, f"collection or view not found: {name}")


def collection_type_invalid() -> ArangoError:
    """Neither documents nor edges, or not edges where only edges have a meaning."""
    return ArangoError(400, 1218, "collection type invalid")


def duplicate_name(name: str) -> ArangoError:
    """A database, collection or index with a name that is taken."""
    return ArangoError(409, 1207, f"duplicate name: {name}")


def illegal_name(name: object) -> ArangoError:
    """A name that no collection can have."""
    return ArangoError(400, 1208, f"illegal name: {name}")


def index_not_found() -> ArangoError:
    """An index that does not exist."""
    return ArangoError(404, 1212, "index not found")


def document_not_found() -> ArangoError:
    """A document that does not exist."""
    return ArangoError(404, 1202, "document not found")


def illegal_document_identifier() -> ArangoError:
    """An object that names no document, where one is needed."""
    return ArangoError(400, 1205, "illegal document identifier")


def illegal_document_key() -> ArangoError:
    """A `_key` that is no text, too long, or has a character that no key can have."""
    return ArangoError(400, 1221, "illegal document key")


def unexpected_document_key() -> ArangoError:
    """A `_key` where the collection makes all keys itself."""
    return ArangoError(400, 1222, "unexpected document key")


def invalid_document_type() -> ArangoError:
    """A document that is no JSON object."""
    return ArangoError(400, 1227, "invalid document type")


def invalid_edge_attribute() -> ArangoError:
    """An edge without a valid `_from` or `_to`."""
    return ArangoError(400, 1233, "edge attribute missing or invalid")


def unique_violation(index_name: str, index_type: str, fields: str, key: str) -> ArangoError:
    """Another document has the same values in a unique index."""
    text = f"in index {index_name} of type {index_type} over '{fields}'; conflicting key: {key}"
    return ArangoError(409, 1210, f"unique constraint violated - {text}")


def invalid_arithmetic_value() -> ArangoError:
    """A document without a number where an index needs one."""
    return ArangoError(400, 1561, "invalid arithmetic value")


def cursor_not_found() -> ArangoError:
    """A cursor that never was, is used up, closed or expired; or a batch of it that is gone."""
    return ArangoError(404, 1600, "cursor not found")


def transaction_not_found(identifier: str) -> ArangoError:
    """No transaction can be running here."""
    return ArangoError(404, 1655, f"transaction '{identifier}' not found")
