"""The one error of the ArangoDB stand-in, and the error numbers it uses.

Numbers and texts are those of ArangoDB 3.11. What decides on an error (query engine, document store, HTTP front) raises
:class:`ArangoError`; only the HTTP front turns it into a response.
"""

from __future__ import annotations

from enum import IntEnum


class ErrorNumber(IntEnum):
    """ArangoDB error numbers, named as in its ``errors.yaml`` (without the ``ERROR_`` prefixes)."""

    FORBIDDEN = 11
    RESOURCE_LIMIT = 32
    HTTP_BAD_PARAMETER = 400
    HTTP_UNAUTHORIZED = 401
    HTTP_NOT_FOUND = 404
    HTTP_METHOD_NOT_ALLOWED = 405
    HTTP_CORRUPTED_JSON = 600
    CONFLICT = 1200
    DOCUMENT_NOT_FOUND = 1202
    COLLECTION_NOT_FOUND = 1203
    DUPLICATE_NAME = 1207
    UNIQUE_CONSTRAINT_VIOLATED = 1210
    DOCUMENT_KEY_MISSING = 1226
    DATABASE_NOT_FOUND = 1228
    QUERY_PARSE = 1501
    QUERY_EMPTY = 1502
    NUMBER_OUT_OF_RANGE = 1504
    VARIABLE_REDECLARED = 1511
    VARIABLE_NAME_UNKNOWN = 1512
    TOO_MUCH_NESTING = 1524
    FUNCTION_NAME_UNKNOWN = 1540
    FUNCTION_ARGUMENT_NUMBER_MISMATCH = 1541
    FUNCTION_ARGUMENT_TYPE_MISMATCH = 1542
    INVALID_REGEX = 1543
    BIND_PARAMETER_MISSING = 1551
    BIND_PARAMETER_UNDECLARED = 1552
    BIND_PARAMETER_TYPE = 1553
    INVALID_ARITHMETIC_VALUE = 1561
    DIVISION_BY_ZERO = 1562
    ARRAY_EXPECTED = 1563
    COLLECTION_USED_IN_EXPRESSION = 1568
    GEO_INDEX_MISSING = 1570
    INVALID_DATE_VALUE = 1572
    INVALID_AGGREGATE_EXPRESSION = 1574
    CURSOR_NOT_FOUND = 1600


class ArangoError(Exception):
    """A refusal in the words of the real server: HTTP status, error number and message."""

    def __init__(self, http_status: int, number: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.number = int(number)
        self.message = message


def not_implemented(what: str) -> ArangoError:
    """Returns the refusal of AQL that a real server answers and this stand-in does not."""
    return ArangoError(400, ErrorNumber.QUERY_PARSE, f"not implemented: {what}")
