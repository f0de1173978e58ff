"""The cache of query results (`/_api/query-cache`).

A result is kept only of a query whose outcome depends on nothing but its text, its bind values and the collections that
it reads, and it counts only as long as none of these has changed since.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.aql import ParsedQuery, QueryResult, repeatable
from cdp_sandbox.arango.store import Database

_MODES = ("off", "on", "demand")
_LIMITS = ("maxResults", "maxResultsSize", "maxEntrySize")


@dataclass
class _Entry:
    result: QueryResult
    seconds: float
    revisions: list[tuple[str, str]]
    described: dict[str, Any]


class ResultsCache:
    """The results that one server keeps.

    Attributes:
        properties: As a client sees them; sizes in bytes, and per database.
    """

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {
            "mode": "off",
            "maxResults": 128,
            "maxResultsSize": 268_435_456,
            "maxEntrySize": 16_777_216,
            "includeSystem": False,
        }
        self._entries: dict[str, OrderedDict[bytes, _Entry]] = {}

    def wanted(self, parsed: ParsedQuery, options: dict[str, Any]) -> bool:
        """Tell whether the result of a query may come from here, and go here."""
        mode, asked = self.properties["mode"], options.get("cache")
        applies = (mode == "on" and asked is not False) or (mode == "demand" and asked is True)
        return applies and not options.get("stream") and not parsed.changes and repeatable(parsed)

    def find(self, database: Database, key: bytes) -> tuple[QueryResult, float] | None:
        """Return a result and the seconds it took, if it is here and still right."""
        entry = self._entries.get(database.name, {}).get(key)
        if entry is None:
            return None
        if entry.revisions != _revisions(database, entry.described["dataSources"]):
            del self._entries[database.name][key]
            return None
        entry.described["hits"] += 1
        return entry.result, entry.seconds

    def keep(  # noqa: PLR0917 - all that is known of a result
        self,
        database: Database,
        key: bytes,
        request: dict[str, Any],
        names: list[str],
        result: QueryResult,
        seconds: float,
    ) -> None:
        """Keep a result, if it has no warnings and is not too large."""
        if not self.properties["includeSystem"] and any(name.startswith("_") for name in names):
            return
        size = len(orjson.dumps(list(result.rows)))
        if result.warnings or size > self.properties["maxEntrySize"]:
            return
        described = {
            "hash": str(int.from_bytes(key[:8], "big")),
            "query": request["query"],
            "bindVars": request.get("bindVars") or {},
            "size": size,
            "results": len(result.rows),
            "hits": 0,
            "runTime": seconds,
            "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "dataSources": names,
        }
        entries = self._entries.setdefault(database.name, OrderedDict())
        entries[key] = _Entry(result, seconds, _revisions(database, names), described)
        self._make_room(entries)

    def described(self, database: str) -> list[dict[str, Any]]:
        """Return what is kept of a database."""
        return [entry.described for entry in self._entries.get(database, {}).values()]

    def clear(self, database: str | None = None) -> None:
        """Forget all results, or those of one database."""
        if database is None:
            self._entries.clear()
        else:
            self._entries.pop(database, None)

    def change(self, wanted: Any) -> None:
        """Change the properties that a request names."""
        if not isinstance(wanted, dict) or wanted.get("mode", "off") not in _MODES:
            raise refusals.bad_parameter("invalid properties of the query cache")
        limits = {name: wanted[name] for name in _LIMITS if isinstance(wanted.get(name), int) and wanted[name] > 0}
        self.properties |= limits
        self.properties["mode"] = wanted.get("mode", self.properties["mode"])
        if isinstance(wanted.get("includeSystem"), bool):
            self.properties["includeSystem"] = wanted["includeSystem"]
        if self.properties["mode"] == "off":
            self.clear()
        for entries in self._entries.values():
            self._make_room(entries)

    def _make_room(self, entries: OrderedDict[bytes, _Entry]) -> None:
        size = sum(entry.described["size"] for entry in entries.values())
        while len(entries) > self.properties["maxResults"] or size > self.properties["maxResultsSize"]:
            size -= entries.popitem(last=False)[1].described["size"]


def _revisions(database: Database, names: list[str]) -> list[tuple[str, str]]:
    found = [database.collections.get(name) for name in names]
    return [("", "") if collection is None else (collection.id, collection.revision) for collection in found]
