"""Replies of the ArangoDB stand-in, as its handlers make them.

Here belong JSON in and out, the form of an error and the headers that a 3.11 server sends with everything. What a
handler is asked is in `calls.py`. No handler knows ASGI; `app.py` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.errors import ArangoError

STANDARD_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-cache, no-store, must-revalidate, pre-check=0, post-check=0, max-age=0, s-maxage=0",
    "content-security-policy": "frame-ancestors 'self'; form-action 'self';",
    "expires": "0",
    "pragma": "no-cache",
    "server": "ArangoDB",
    "strict-transport-security": "max-age=31536000 ; includeSubDomains",
    "x-arango-queue-time-seconds": "0.000000",
    "x-content-type-options": "nosniff",
}

# A number that is whole although it is not written so: `10.0`, `1e3`. Rare enough in bodies to look for it first.
_MAYBE_WHOLE = re.compile(rb"\d\.0+(?!\d)|\d[eE][+-]?\d")
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON text, headers beside the standard ones."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer with any JSON value as body."""
    return Reply(status, orjson.dumps(payload), headers or {})


def success(payload: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer with `error` and `code` in front of its attributes."""
    return reply({"error": False, "code": status, **payload}, status, headers)


def failure(error: ArangoError) -> Reply:
    """Return the answer that tells of an error."""
    headers = {"www-authenticate": 'Basic, realm="ArangoDB"'} if error.http_status == 401 else {}
    return reply(
        {"code": error.http_status, "error": True, "errorMessage": error.message, "errorNum": error.number},
        error.http_status,
        headers,
    )


def parse_json(text: bytes) -> Any:
    """Return a JSON value as a real server would hold it: whole numbers are integers, however they were written.

    Raises:
        ArangoError: 400/600, it is no JSON or no UTF-8.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise refusals.bad_json(str(error)) from error
    return _with_integers(value) if _MAYBE_WHOLE.search(text) else value


def _with_integers(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _LARGEST_WHOLE else value
    if isinstance(value, list):
        return [_with_integers(member) for member in value]
    if isinstance(value, dict):
        return {name: _with_integers(member) for name, member in value.items()}
    return value
