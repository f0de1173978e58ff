"""The messages that the stand-in took, in one SQLite file.

Grain: one row per message and recipient. Messages survive the death of the process, SIGKILL included. The latest 20,000
are kept. The file belongs to one process at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cdp_sandbox.state_file import opened

KEPT = 20_000
# Rows are removed when so many more have come.
_TOO_MANY = 200

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  number INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, key TEXT NOT NULL, address TEXT NOT NULL,
  subject TEXT NOT NULL, at TEXT NOT NULL, accepted INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1,
  content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS message_key ON message (key, channel, address);
"""
# A message is delivered as often as its key came to its address and was accepted.
_LISTED = """
SELECT m.number, m.channel, m.key, m.address, m.subject, m.at, m.accepted, m.asked,
  (SELECT count(*) FROM message AS same WHERE same.key = m.key AND same.channel = m.channel
   AND same.address = m.address AND same.accepted AND m.accepted)
FROM message AS m
"""


@dataclass(frozen=True)
class Message:
    """A message as it stands in a list.

    Attributes:
        number: counts all messages since the outbox was made.
        channel: `email`, or the name in the webhook's address.
        key: what the sender knows it by: the part of the Message-ID before the @, or the Idempotency-Key.
        address: who gets it.
        subject: of an e-mail; the beginning of any other message.
        at: when it came.
        accepted: False where the stand-in was told to refuse it after it had all of it.
        asked: how often a webhook was asked to send it; all but the first were answered from memory.
        delivered: how often it was accepted for this address under this key; more than once is a sender's mistake.
    """

    number: int
    channel: str
    key: str
    address: str
    subject: str
    at: datetime
    accepted: bool
    asked: int
    delivered: int


class Store:
    """All messages of one stand-in."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = opened(file, _SCHEMA)

    def keep(
        self, *, channel: str, key: str, address: str, subject: str, content: bytes, accepted: bool = True
    ) -> Message:
        """Keep one more message."""
        at = datetime.now(UTC)
        with self._lock:
            (number,) = self._connection.execute(
                "INSERT INTO message (channel, key, address, subject, at, accepted, content)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number",
                [channel, key, address, subject, at.isoformat(), accepted, content],
            ).fetchone()
            if number % _TOO_MANY == 0:
                self._connection.execute("DELETE FROM message WHERE number <= ?", [number - KEPT])
        return self.listed("WHERE number = ?", [number])[0]

    def keep_once(
        self, *, channel: str, key: str, address: str, subject: str, content: bytes, honoured: timedelta
    ) -> tuple[Message, bool]:
        """Keep a message, unless this channel took one under its key so long ago at most.

        Returns:
            The message that is kept under the key, and whether it is this one.
        """
        query = (
            "UPDATE message SET asked = asked + 1 WHERE channel = ? AND key = ? AND accepted AND at >= ?"
            " RETURNING number"
        )
        with self._lock:
            since = datetime.now(UTC) - honoured
            if found := self._connection.execute(query, [channel, key, since.isoformat()]).fetchone():
                return self.listed("WHERE number = ?", found)[0], False
            return self.keep(channel=channel, key=key, address=address, subject=subject, content=content), True

    def under(self, channel: str, key: str) -> Message | None:
        """The first message of this channel under a key."""
        return next(iter(self.listed("WHERE channel = ? AND key = ? ORDER BY number", [channel, key])), None)

    def listed(self, which: str = "ORDER BY number", parameters: Sequence[object] = ()) -> list[Message]:
        """Messages by the end of a query on `message`, all by default and the oldest first."""
        with self._lock:
            rows = self._connection.execute(_LISTED + which, parameters).fetchall()
        return [_message(row) for row in rows]

    def latest(self, channel: str, *, first: int, count: int) -> list[Message]:
        """Messages of a channel, or of all if it is empty: so many, the latest first, without the `first` ones."""
        which = "WHERE ? IN ('', channel) ORDER BY number DESC LIMIT ? OFFSET ?"
        return self.listed(which, [channel, count, first])

    def content(self, number: int) -> bytes | None:
        """The whole message as it came."""
        with self._lock:
            found = self._connection.execute("SELECT content FROM message WHERE number = ?", [number]).fetchone()
        return found and found[0]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of messages by channel, and whether they were accepted."""
        query = (
            "SELECT channel, iif(accepted, 'accepted', 'refused'), count(*) FROM message GROUP BY 1, 2 ORDER BY 1, 2"
        )
        counted: dict[str, dict[str, int]] = {}
        with self._lock:
            for channel, state, count in self._connection.execute(query):
                counted.setdefault(channel, {})[state] = count
        return counted

    def clear(self) -> None:
        """Forget all messages, and their keys."""
        with self._lock:
            self._connection.execute("DELETE FROM message")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _message(row: Sequence[Any]) -> Message:
    number, channel, key, address, subject, at, accepted, asked, delivered = row
    return Message(number, channel, key, address, subject, datetime.fromisoformat(at), bool(accepted), asked, delivered)
