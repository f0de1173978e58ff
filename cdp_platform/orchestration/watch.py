"""The loop of sensors that look at sources: whose turn it is, what was seen last, and who still waits for a run.

What a source is, and when it has changed, is the business of the rooms.
"""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from cdp_platform.orchestration import partitions

# A tick has 60 seconds before Dagster gives it up and its cursor is lost.
TICK_BUDGET_SECONDS = 20.0


class Watch:
    """What one tick remembers for the next, as JSON in the sensor's cursor.

    Dagster stores the cursor together with the runs that the tick asks for, so a tick that dies is repeated.

    Attributes:
        seen: what was seen last of each partition that could be read. Unknown is not empty and not unchanged: of one
            that cannot be read, this stays as it is.
        waiting: the partitions that changed and that no run was asked for since.
        notes: whatever else the sensor remembers.
    """

    def __init__(self, cursor: str | None) -> None:
        self.notes: dict[str, Any] = json.loads(cursor or "{}")
        self.seen: dict[str, Any] = self.notes.pop("seen", {})
        self.waiting = set(self.notes.pop("waiting", []))
        self._after: str | None = self.notes.pop("after", None)

    def in_turn(self, keys: Sequence[str]) -> Iterator[str]:
        """All of these partitions while the tick has time, beginning behind the last one of the tick before.

        So no partition waits for ever behind a slow one.
        """
        deadline = time.monotonic() + TICK_BUDGET_SECONDS
        start = keys.index(self._after) + 1 if self._after in keys else 0
        for key in (*keys[start:], *keys[:start]):
            if time.monotonic() > deadline:
                return
            self._after = key
            yield key

    def runs(self, order: Sequence[str], due: Collection[str], *, at_most: int, apart: bool = False) -> list[list[str]]:
        """The partitions of each run to ask for now; none of them waits any longer.

        Args:
            order: all partitions, in the instance's order.
            due: those that runs are for. If there may be no run, they wait as before.
            at_most: the number of runs.
            apart: each has a run of its own while they are so few, because one can take long; else neighbours share.
        """
        if apart and len(due) <= at_most:
            found = [[key] for key in order if key in due]
        else:
            found = partitions.ranges(order, due, at_most=at_most)
        self.waiting.difference_update(*found)
        return found

    def cursor(self, keys: Collection[str]) -> str:
        """For the next tick. Of partitions other than these nothing is remembered."""
        seen = {key: value for key, value in self.seen.items() if key in keys}
        waiting = sorted(self.waiting.intersection(keys))
        return json.dumps({**self.notes, "seen": seen, "waiting": waiting, "after": self._after})
