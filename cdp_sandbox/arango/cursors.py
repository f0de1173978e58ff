"""The cursors that page results of queries.

A cursor keeps its whole result in memory. With `allowRetry` the latest batch can be asked for again, and the last one
stays until the cursor is deleted. A cursor that nobody asks for `ttl` seconds is gone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from cdp_sandbox.arango import refusals
from cdp_sandbox.arango.wire import Reply


@dataclass
class Cursor:
    """One result that is handed out in batches.

    Attributes:
        batch_number: The batch that was handed out last, from 1.
        extra: Statistics and warnings. A stream cursor tells them with its last batch only.
    """

    id: str
    database: str
    rows: Sequence[Any]
    batch_size: int
    ttl: float
    extra: dict[str, Any]
    counted: bool
    stream: bool
    allow_retry: bool
    cached: bool
    batch_number: int = 0
    expires: float = field(default=0.0)

    @property
    def has_more(self) -> bool:
        """Whether a batch is left."""
        return self.batch_number * self.batch_size < len(self.rows)

    def advance(self) -> None:
        """Go to the next batch."""
        self.batch_number += 1

    def reply(self, status: int) -> Reply:
        """Return the current batch as an answer, with what a client needs to get the next one."""
        start = (self.batch_number - 1) * self.batch_size
        batch = self.rows[start : start + self.batch_size]
        told: dict[str, Any] = {"hasMore": self.has_more}
        if self.has_more:
            told |= {"id": self.id, "nextBatchId": str(self.batch_number + 1)}
        if self.counted:
            told["count"] = len(self.rows)
        if not (self.stream and self.has_more):
            told["extra"] = self.extra
        told |= {"cached": self.cached, "error": False, "code": status}
        return Reply(status, b'{"result":' + orjson.dumps(batch) + b"," + orjson.dumps(told)[1:])


class Cursors:
    """The open cursors of one server."""

    def __init__(self) -> None:
        self._open: dict[str, Cursor] = {}

    def keep(self, cursor: Cursor) -> None:
        """Keep a cursor open, from now on for its time to live."""
        self._drop_expired()
        cursor.expires = time.monotonic() + cursor.ttl
        self._open[cursor.id] = cursor

    def find(self, identifier: str, database: str) -> Cursor:
        """Return an open cursor, and give it its whole time to live again.

        Raises:
            ArangoError: 404/1600, it is not there (any more).
        """
        self._drop_expired()
        cursor = self._open.get(identifier)
        if cursor is None or cursor.database != database:
            raise refusals.cursor_not_found()
        cursor.expires = time.monotonic() + cursor.ttl
        return cursor

    def close(self, cursor: Cursor) -> None:
        """Forget a cursor."""
        del self._open[cursor.id]

    def drop_database(self, name: str) -> None:
        """Forget all cursors of a database."""
        self._open = {key: cursor for key, cursor in self._open.items() if cursor.database != name}

    def _drop_expired(self) -> None:
        now = time.monotonic()
        self._open = {key: cursor for key, cursor in self._open.items() if cursor.expires > now}
