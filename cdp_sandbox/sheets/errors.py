"""Refusals in the shape of Google's errors: `{"error": {"code", "message", "status", "details"?}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
}


class RefusalError(Exception):
    """A request that is refused whole.

    Attributes:
        code: Of HTTP.
        message: In Google's words where they are known.
        details: Google's `ErrorInfo`s.
    """

    def __init__(self, message: str, code: int = 400, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details

    def within(self, place: str) -> RefusalError:
        """Return it with the place in the request that it is about."""
        return RefusalError(f"Invalid {place}: {self.message}", self.code, self.details)

    def body(self) -> dict[str, Any]:
        """Return what is answered."""
        error = {"code": self.code, "message": self.message, "status": _STATUS[self.code]}
        return {"error": error | ({"details": self.details} if self.details else {})}


def error_info(reason: str, **metadata: str) -> list[dict[str, Any]]:
    """Return the details by which programs know an error."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return [{"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}]


def lacking(what: str) -> RefusalError:
    """Return the refusal of what Google can and the stand-in cannot."""
    return RefusalError(f"The stand-in for Google Sheets does not have {what}.", 501)


def outside(where: str, rows: int, columns: int) -> RefusalError:
    """Return the refusal of a range that is not in its grid."""
    return RefusalError(f"Range ({where}) exceeds grid limits. Max rows: {rows}, max columns: {columns}")


def known(given: Any, place: str, *names: str) -> dict[str, Any]:
    """Return the fields of a JSON object that have a value.

    Raises:
        RefusalError: 400, it is no object, or has a field that is not one of `names`.
    """
    if not isinstance(given, Mapping):
        raise RefusalError(f"Invalid value at '{place}': an object is expected.")
    for name in given.keys() - set(names):
        raise RefusalError(
            f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field, "
            "or the stand-in for Google Sheets does not have it."
        )
    return {name: value for name, value in given.items() if value is not None}


def number(given: Mapping[str, Any], name: str, default: int | None = None) -> int | None:
    """Return a field that is a whole number, or the default.

    Raises:
        RefusalError: 400, it is something else.
    """
    value = given.get(name, default)
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip("-").isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise RefusalError(f"Invalid value at '{name}' (TYPE_INT32), {value!r}")
    return value


def text(given: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a field that is a text, or the default.

    Raises:
        RefusalError: 400, it is something else.
    """
    value = given.get(name, default)
    if not isinstance(value, str):
        raise RefusalError(f"Invalid value at '{name}' (TYPE_STRING), {value!r}")
    return value


def listed(given: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that is a list, an empty one if it is not there.

    Raises:
        RefusalError: 400, it is something else.
    """
    value = given.get(name, [])
    if not isinstance(value, list):
        raise RefusalError(f"Invalid value at '{name}': a list is expected.")
    return value


def flag(given: Mapping[str, Any], name: str) -> bool:
    """Return a field that is true or false, false if it is not there.

    Raises:
        RefusalError: 400, it is something else.
    """
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise RefusalError(f"Invalid value at '{name}' (TYPE_BOOL), {value!r}")
    return value


def choice(given: Mapping[str, Any], name: str, *choices: str, default: str = "") -> str:
    """Return a field that is one of some words, or the default; the first if none is said.

    Raises:
        RefusalError: 400, it is something else.
    """
    value = given.get(name) or default or choices[0]
    if value not in choices:
        raise RefusalError(f"Invalid value at '{name}': {value!r} is not one of {', '.join(choices)}.")
    return value
