"""Loops that sensors share: one goes round sources, the other one waits for work that is due.

The first keeps in ``ops.source_look`` what was seen last and which partitions wait for a run, and in the cursor which
partition is next. The rooms say what a source is and when it has changed, and what is due.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import dagster as dg
import psycopg
from psycopg import sql

from cdp_platform.errors import SourceError
from cdp_platform.ops import looks
from cdp_platform.ops.looks import Look, Source
from cdp_platform.orchestration import partitions

# Dagster stops a tick after 60 seconds, and its cursor is lost then.
TICK_BUDGET_SECONDS = 20.0
# A tick that only listens costs as much as a short one, so it lasts longer.
LISTEN_SECONDS = 45.0
# Enough for 1,000 sources a minute with 0.4 s each, and few enough for one server.
LOOKS_AT_ONCE = 8

T = TypeVar("T")
Looking = Callable[[], AbstractContextManager[Callable[[str], T]]]
"""Opens what one thread looks with: a function that looks at a partition's source."""


def when_due(
    connection: psycopg.Connection,
    channel: str,
    look: Callable[[], tuple[dg.SensorResult | dg.SkipReason, Iterable[datetime]]],
) -> dg.SensorResult | dg.SkipReason:
    """Look until there are runs to ask for, or the tick has no time left.

    Args:
        connection: commits by itself.
        channel: notices on it say that something changed.
        look: returns the tick's answer, and when each thing that is open is due. What is due already cannot go on now.
    """
    began = time.monotonic()
    # Before the first look, so that no notice is lost between the two.
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    while True:
        answer, moments = look()
        now = datetime.now(UTC)
        until = [(moment - now).total_seconds() for moment in moments]
        # The end of a run, which what is due may wait for, gives no notice.
        lasts = TICK_BUDGET_SECONDS if any(seconds <= 0 for seconds in until) else LISTEN_SECONDS
        left = began + lasts - time.monotonic()
        if isinstance(answer, dg.SensorResult) or left <= 0:
            return answer
        until_next = max(0.1, min((seconds for seconds in until if seconds > 0), default=lasts))
        list(connection.notifies(timeout=min(left, until_next), stop_after=1))


class Watch:
    """The memory of a sensor from one tick to the next.

    The rows of a tick are stored before Dagster takes its result: the events, the runs and, last of all, the cursor. If
    the daemon dies in between, the next tick finds another tick's name in its cursor than in the rows. Then what that
    tick reported counts as not seen, and what it asked for as still waiting, so both are repeated.

    Attributes:
        seen: what was seen last of each partition, as JSON. For a partition that cannot be read it stays as it is,
            since that source is neither empty nor unchanged.
        waiting: the partitions that changed and for which no run was requested since.
        notes: other values that the sensor remembers, in the cursor.
    """

    def __init__(
        self, connection: psycopg.Connection, sensor: str, cursor: str | None, sources: Mapping[str, Source]
    ) -> None:
        """Read what the last tick stored.

        Args:
            connection: commits by itself.
            sensor: its name.
            cursor: as Dagster has it.
            sources: what is looked at, by partition. Rows of other sources are deleted at the end of the tick.
        """
        kept: dict[str, Any] = json.loads(cursor or "{}")
        self.notes: dict[str, Any] = kept.get("notes", {})
        self._after: str | None = kept.get("after")
        self._connection = connection
        self._sensor = sensor
        self._sources = sources
        self._tick = uuid4().hex
        ((self._began,),) = connection.execute("SELECT now()").fetchall()
        self._stored = looks.stored(connection, sensor)
        self._rows = {
            key: self._stored.get(source, Look(*source)).after(kept.get("tick")) for key, source in sources.items()
        }
        self.seen = {
            key: row.seen for key, row in self._rows.items() if row.looked_at is not None and row.reported_in is None
        }
        self.waiting = {key for key, row in self._rows.items() if row.waits}

    def in_turn(self, keys: Sequence[str]) -> Iterator[str]:
        """Yield these partitions while the tick has time, from the one after the last of the previous tick.

        So slow partitions do not keep others from being looked at.
        """
        deadline = time.monotonic() + TICK_BUDGET_SECONDS
        start = keys.index(self._after) + 1 if self._after in keys else 0
        for key in (*keys[start:], *keys[:start]):
            if time.monotonic() > deadline:
                return
            self._after = key
            yield key

    def at_once(
        self, keys: Sequence[str], looking: Looking[T], *, seconds: float
    ) -> Iterator[tuple[str, T | Exception]]:
        """Look at several of these partitions at a time, in turn; yields what was found, or the error, as it comes.

        A source that hangs holds up one of the looks at a time, and none of the other sources.

        Args:
            keys: the partitions.
            looking: opens what one thread looks with. The look must only read, since a late one is left to itself.
            seconds: longest time of one look.
        """
        turns, lock = self.in_turn(keys), threading.Lock()
        begun: set[str] = set()
        answers: queue.SimpleQueue[tuple[str, T | Exception] | Exception | None] = queue.SimpleQueue()

        def following() -> str | None:
            with lock:
                key = next(turns, None)
                if key is not None:
                    begun.add(key)
                return key

        def work() -> None:
            try:
                with looking() as look:
                    while (key := following()) is not None:
                        try:
                            answers.put((key, look(key)))
                        except Exception as error:
                            answers.put((key, error))
            except Exception as error:
                answers.put(error)
            answers.put(None)

        ends_at = time.monotonic() + TICK_BUDGET_SECONDS + seconds
        at_work = min(LOOKS_AT_ONCE, len(keys))
        for _ in range(at_work):
            threading.Thread(target=work, name="look", daemon=True).start()
        while at_work:
            try:
                answer = answers.get(timeout=max(0.0, ends_at - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                at_work -= 1
                continue
            begun.discard(answer[0])
            yield answer
        for key in sorted(begun):
            yield key, SourceError(f"{key}: no answer within {seconds:g} s.", transient=True)

    def saw(self, key: str, seen: Any, *, changed: bool) -> None:
        """Note a look at a partition's source, and whether the tick reports a change of it."""
        self._rows[key] = replace(
            self._rows[key],
            seen=seen,
            looked_at=self._began,
            failed_looks=0,
            reported_in=self._tick if changed else None,
        )

    def missed(self, key: str) -> int:
        """Note that a partition's source could not be read; returns how often in a row that was so."""
        row = self._rows[key]
        self._rows[key] = replace(row, failed_looks=row.failed_looks + 1)
        return row.failed_looks + 1

    def runs(self, order: Sequence[str], due: Collection[str], *, at_most: int, apart: bool = False) -> list[list[str]]:
        """The partitions of each run to request now; they no longer wait.

        Args:
            order: all partitions, in the instance's order.
            due: those that need a run. If no run may be requested, they go on waiting.
            at_most: largest number of runs.
            apart: give each a run of its own if there are no more than ``at_most``, because one can take long.
                Otherwise, and by default, neighbours share a run.
        """
        if apart and len(due) <= at_most:
            found = [[key] for key in order if key in due]
        else:
            found = partitions.ranges(order, due, at_most=at_most)
        asked = self.waiting.intersection(key for keys in found for key in keys)
        self.waiting -= asked
        for key in asked:
            # It waits until the next tick knows that Dagster took this one's result.
            self._rows[key] = replace(self._rows[key], waits=True, asked_in=self._tick)
        return found

    def cursor(self) -> str:
        """Store what the next tick has to know, and return the cursor for it."""
        for key, row in self._rows.items():
            self._rows[key] = replace(row, waits=key in self.waiting or row.asked_in is not None)
        changed = [
            self._rows[key]
            for key, source in self._sources.items()
            if self._rows[key] != self._stored.get(source, Look(*source))
        ]
        gone = self._stored.keys() - set(self._sources.values())
        looks.store(self._connection, self._sensor, changed, gone)
        kept = {"after": self._after, "tick": self._tick}
        return json.dumps(kept | ({"notes": self.notes} if self.notes else {}))
