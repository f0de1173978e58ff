"""The account on disk, in one SQLite file: calls, what each person cost, and deliveries of phone numbers.

A call is written with all that it costs before it is answered, so a call whose answer is lost is charged. What was
written survives the death of the process, SIGKILL included. The file belongs to one process at a time.

Credits are kept as whole hundredths of a credit.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson

from cdp_sandbox.apollo.settings import DIRECT_DIAL, LEAD, Settings
from cdp_sandbox.state_file import opened

# Before the end of a query.
_CALLS = """
SELECT number, at, endpoint, key_hash, asked, matched, request_id, status, error, fault, lead, dial FROM call
"""
_COUNTED = {"call": "SELECT count(*) FROM call", "delivery": "SELECT count(*) FROM delivery"}
_CHARGES = "SELECT call, person_id, asked, lead, dial FROM charge "
_DELIVERIES = "SELECT url, due, times, body, call, posted, outcome FROM delivery "

_SCHEMA = """
CREATE TABLE IF NOT EXISTS call (
  number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, endpoint TEXT NOT NULL, key_hash TEXT NOT NULL,
  asked INTEGER NOT NULL, matched INTEGER NOT NULL, request_id INTEGER UNIQUE, status INTEGER NOT NULL,
  error TEXT NOT NULL, fault TEXT NOT NULL, lead INTEGER NOT NULL, dial INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS call_at ON call (at);
CREATE TABLE IF NOT EXISTS charge (
  call INTEGER NOT NULL, person_id TEXT NOT NULL, asked TEXT NOT NULL, lead INTEGER NOT NULL, dial INTEGER NOT NULL,
  PRIMARY KEY (call, person_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS person (id TEXT PRIMARY KEY, asked BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
  call INTEGER PRIMARY KEY, url TEXT NOT NULL, due TEXT NOT NULL, times INTEGER NOT NULL, posted INTEGER NOT NULL,
  outcome TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS awaited (
  key_hash TEXT NOT NULL, person_id TEXT NOT NULL, due TEXT NOT NULL, PRIMARY KEY (key_hash, person_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


class OutOfCreditsError(Exception):
    """The call would cost more than is left. Nothing was charged."""


@dataclass(frozen=True)
class Call:
    """A request for people.

    Attributes:
        endpoint: As in `settings.py`.
        key_hash: The first digits of the API key's SHA-256.
        asked: Number of people.
        status: The HTTP status of the answer.
        matched: Number of people that were found.
        request_id: As in the answer; None where it was refused.
        error: The reason of a refusal.
        fault: The fault that spoiled the answer after this was written: an action of `faults.py`, or a distortion.
    """

    endpoint: str
    key_hash: str
    asked: int
    status: int
    matched: int = 0
    request_id: int | None = None
    error: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Charge:
    """The cost of one person in one call, in hundredths of a credit.

    Attributes:
        person_id: Apollo's id of the person.
        asked: The words that the person was asked with.
        lead: For demographics or an address.
        dial: For a mobile phone.
    """

    person_id: str
    asked: dict[str, str]
    lead: int
    dial: int


@dataclass(frozen=True)
class Delivery:
    """Phone numbers that are to be posted to a webhook.

    Attributes:
        url: Address of the webhook.
        due: When they are posted first.
        times: How often they are posted; 0 is never.
        body: The JSON that is posted.
        call: Number of the call that asked for them; 0 before it is written.
        posted: How often they were posted so far.
        outcome: HTTP status of the webhook's last answer, or the name of an error.
    """

    url: str
    due: datetime
    times: int
    body: bytes
    call: int = 0
    posted: int = 0
    outcome: str = ""


def credits_of(hundredths: int) -> int | float:
    """Hundredths of a credit as Apollo writes credits: whole, or with decimals."""
    whole, rest = divmod(hundredths, 100)
    return hundredths / 100 if rest else whole


class Store:
    """The account."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = opened(file, _SCHEMA)
        self.settings = Settings()
        for (value,) in self._rows("SELECT value FROM setting WHERE name = 'settings'"):
            self.settings = Settings().changed(orjson.loads(value))
        self._consumed = self._summed("")

    def change_settings(self, settings: Settings) -> None:
        """Keep other settings."""
        with self._lock:
            value = orjson.dumps(settings)
            self._connection.execute("INSERT OR REPLACE INTO setting VALUES ('settings', ?)", [value])
            self.settings = settings

    def take(
        self,
        call: Call,
        charges: Sequence[Charge],
        people: Mapping[str, dict[str, str]],
        delivery: Delivery | None = None,
        awaited: Collection[str] = (),
    ) -> Delivery | None:
        """Write down a call and what it costs.

        Args:
            call: The call.
            charges: The people that cost something, each once.
            people: By id, the words of everybody who was found, so that the id finds them.
            delivery: Phone numbers that the call will deliver.
            awaited: Ids of the people that they are of.

        Returns:
            The delivery, with the number of the call.

        Raises:
            OutOfCreditsError: It costs more than is left of the credits of a type.
        """
        lead, dial = sum(one.lead for one in charges), sum(one.dial for one in charges)
        allowed = self.settings.credits
        with self._lock:
            consumed = self._consumed
            if consumed[0] + lead > 100 * allowed[LEAD] or consumed[1] + dial > 100 * allowed[DIRECT_DIAL]:
                raise OutOfCreditsError
            self._connection.execute("BEGIN")
            number = self._insert_call(call, lead, dial)
            self._connection.executemany(
                "INSERT INTO charge VALUES (?, ?, ?, ?, ?)",
                [(number, one.person_id, orjson.dumps(one.asked).decode(), one.lead, one.dial) for one in charges],
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO person VALUES (?, ?)",
                [(key, orjson.dumps(asked)) for key, asked in people.items()],
            )
            if delivery is not None:
                delivery = replace(delivery, call=number)
                due = _text(delivery.due)
                self._connection.execute(
                    "INSERT INTO delivery (url, due, times, body, call, posted, outcome) VALUES (?, ?, ?, ?, ?, 0, '')",
                    [delivery.url, due, delivery.times, delivery.body, number],
                )
                self._connection.executemany(
                    "INSERT OR REPLACE INTO awaited VALUES (?, ?, ?)", [(call.key_hash, one, due) for one in awaited]
                )
            self._connection.execute("COMMIT")
            self._consumed = consumed[0] + lead, consumed[1] + dial
        return delivery

    def note_refusal(self, call: Call) -> None:
        """Write down a call that was refused."""
        with self._lock:
            self._insert_call(call, 0, 0)

    def words_of(self, person_id: str) -> dict[str, str] | None:
        """The words that a person was first found with."""
        found = self._rows("SELECT asked FROM person WHERE id = ?", person_id)
        return orjson.loads(found[0][0]) if found else None

    def awaited(self, key_hash: str, people: Collection[str]) -> set[str]:
        """The people whose phone numbers are still to be delivered to the owner of this key."""
        query = (
            "SELECT person_id FROM awaited WHERE key_hash = ? AND due > ?"
            " AND person_id IN (SELECT value FROM json_each(?))"
        )
        found = self._rows(query, key_hash, _text(datetime.now(UTC)), orjson.dumps(list(people)).decode())
        return {person_id for (person_id,) in found}

    def deliveries(self, which: str = "ORDER BY call", *parameters: object) -> list[Delivery]:
        """Deliveries by the end of a query on `delivery`, all by default and the oldest first."""
        return [
            Delivery(url, datetime.fromisoformat(due), *rest)
            for url, due, *rest in self._rows(_DELIVERIES + which, *parameters)
        ]

    def delivery_of(self, request_id: int) -> Delivery | None:
        """The phone numbers that a request asked for."""
        which = "WHERE call = (SELECT number FROM call WHERE request_id = ?)"
        return next(iter(self.deliveries(which, request_id)), None)

    def note_post(self, call: int, outcome: str) -> None:
        """Write down that a delivery was posted once more."""
        with self._lock:
            self._connection.execute(
                "UPDATE delivery SET posted = posted + 1, outcome = ? WHERE call = ?", [outcome, call]
            )

    def consumed(self) -> dict[str, int]:
        """Hundredths of credits by type, as `credit_usage_stats` counts them by now."""
        with self._lock:
            lead, dial = self._consumed
            if lag := self.settings.counter_lag_seconds:
                late = self._summed("WHERE at > ?", _text(datetime.now(UTC) - timedelta(seconds=lag)))
                lead, dial = lead - late[0], dial - late[1]
        return {LEAD: lead, DIRECT_DIAL: dial}

    def calls(self, which: str = "ORDER BY number", *parameters: object) -> list[dict[str, Any]]:
        """Calls by the end of a query on `call`, all by default and the oldest first."""
        names = (
            *("number", "at", "endpoint", "key_hash", "asked", "matched"),
            "request_id",
            "status",
            "error",
            "fault",
        )
        return [
            {**dict(zip(names, row, strict=False)), **_credits(*row[-2:])}
            for row in self._rows(_CALLS + which, *parameters)
        ]

    def charges(self, which: str = "ORDER BY call, person_id", *parameters: object) -> list[dict[str, Any]]:
        """Costs of people by the end of a query on `charge`, all by default and the oldest call first."""
        return [
            {"call": call, "person_id": person_id, "asked": orjson.loads(asked), **_credits(lead, dial)}
            for call, person_id, asked, lead, dial in self._rows(_CHARGES + which, *parameters)
        ]

    def count(self, table: Literal["call", "delivery"]) -> int:
        """Number of calls or deliveries."""
        return self._rows(_COUNTED[table])[0][0]

    def counts(self) -> dict[str, dict[str, int]]:
        """Calls by endpoint and status, and whole credits by type."""
        counted: dict[str, dict[str, int]] = {}
        for endpoint, status, count in self._rows("SELECT endpoint, status, count(*) FROM call GROUP BY 1, 2"):
            counted.setdefault(endpoint, {})[f"Calls answered {status}"] = count
        lead, dial = self._consumed
        return counted and {**counted, "Credits": {LEAD: lead // 100, DIRECT_DIAL: dial // 100}}

    def clear(self) -> None:
        """Forget calls, charges and deliveries. Settings stay, and ids of people."""
        with self._lock:
            self._connection.executescript(
                "DELETE FROM call; DELETE FROM charge; DELETE FROM delivery; DELETE FROM awaited;"
            )
            self._consumed = 0, 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _insert_call(self, call: Call, lead: int, dial: int) -> int:
        values = (call.endpoint, call.key_hash, call.asked, call.matched, call.request_id, call.status)
        (number,) = self._connection.execute(
            "INSERT INTO call (at, endpoint, key_hash, asked, matched, request_id, status, error, fault, lead, dial)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            [_text(datetime.now(UTC)), *values, call.error, call.fault, lead, dial],
        ).fetchone()
        return number

    def _summed(self, which: str, *parameters: object) -> tuple[int, int]:
        query = "SELECT coalesce(sum(lead), 0), coalesce(sum(dial), 0) FROM call "
        return self._rows(query + which, *parameters)[0]

    def _rows(self, query: str, *parameters: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()


def _text(moment: datetime) -> str:
    # All have one length, so that their order is that of the moments.
    return moment.isoformat(timespec="microseconds")


def _credits(lead: int, dial: int) -> dict[str, int | float]:
    return {"credits": credits_of(lead + dial), LEAD: credits_of(lead), DIRECT_DIAL: credits_of(dial)}
