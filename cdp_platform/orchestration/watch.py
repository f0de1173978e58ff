"""Loops that sensors share: one goes round sources, the other one waits for work that is due.

The first keeps which partition is next, what was seen last, and which wait for a run. The rooms say what a source is
and when it has changed, and what is due.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql

from cdp_platform.orchestration import partitions

# Dagster stops a tick after 60 seconds, and its cursor is lost then.
TICK_BUDGET_SECONDS = 20.0


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
    ends_at = time.monotonic() + TICK_BUDGET_SECONDS
    # Before the first look, so that no notice is lost between the two.
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    while True:
        answer, moments = look()
        left = ends_at - time.monotonic()
        if isinstance(answer, dg.SensorResult) or left <= 0:
            return answer
        list(connection.notifies(timeout=min(left, _seconds_until_next(moments)), stop_after=1))


def _seconds_until_next(moments: Iterable[datetime]) -> float:
    """Until the first of these moments that is to come."""
    now = datetime.now(UTC)
    left = [(moment - now).total_seconds() for moment in moments]
    return max(0.1, min((seconds for seconds in left if seconds > 0), default=TICK_BUDGET_SECONDS))


class Watch:
    """The memory from one tick to the next, as JSON in the sensor's cursor.

    Dagster stores the cursor together with the runs that the tick asks for, so a tick that dies is repeated.

    Attributes:
        seen: what was seen last of each partition. For a partition that cannot be read it stays as it is, since that
            source is neither empty nor unchanged.
        waiting: the partitions that changed and for which no run was requested since.
        notes: other values that the sensor remembers.
    """

    def __init__(self, cursor: str | None) -> None:
        self.notes: dict[str, Any] = json.loads(cursor or "{}")
        self.seen: dict[str, Any] = self.notes.pop("seen", {})
        self.waiting = set(self.notes.pop("waiting", []))
        self._after: str | None = self.notes.pop("after", None)

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
        self.waiting.difference_update(*found)
        return found

    def cursor(self, keys: Collection[str]) -> str:
        """The cursor for the next tick. Partitions other than these are forgotten."""
        seen = {key: value for key, value in self.seen.items() if key in keys}
        waiting = sorted(self.waiting.intersection(keys))
        return json.dumps({**self.notes, "seen": seen, "waiting": waiting, "after": self._after})
