"""Requests of the ArangoDB stand-in, as its handlers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cdp_sandbox.arango.state import ServerState
from cdp_sandbox.arango.store import Database, Store
from cdp_sandbox.arango.wire import parse_json

_TRUE = frozenset({"true", "yes", "on", "y", "1"})


@dataclass(frozen=True)
class Call:
    """One request to one database.

    Attributes:
        server: The server it was sent to.
        database: The database it names.
        method: In capitals.
        segments: The decoded path after `/_api/<what>/`.
        path: The path as it was sent, without host, query and database prefix.
        query: The last value of each option of the query string.
        headers: By name in small letters.
    """

    server: ServerState
    database: Database
    user: str
    method: str
    path: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def store(self) -> Store:
        """The store of the server."""
        return self.server.store

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes-or-no option of the query string."""
        return self.query[name].lower() in _TRUE if name in self.query else default

    def json(self) -> Any:
        """Return the body.

        Raises:
            ArangoError: 400/600, it is no JSON.
        """
        return parse_json(self.body)

    def location(self, path: str) -> str:
        """Return a `location` header for a path of this database."""
        return quote(f"/_db/{self.database.name}{path}", safe="/-:.@()+,=;$!*'_")
