"""The gate of an outside account: how often it may be called, for how long it is left alone, and a breaker.

All processes share it through the warehouse. Grain of ``ops.gate``: one row per account and kind of call. Grain of
``ops.gate_window``: one row per gate and length of a window; no window of that length ever has more turns than its
limit, and time and space of a turn do not depend on the limit. Grain of ``ops.gate_allowance``: one row per gate and
length of a window in which the outside system counts requests itself, and says how many it still takes.

The breaker of a gate::

               failures in a row              after a while, the next caller
    closed  ----------------------->  open  --------------------------------->  probe
       ^                               ^                                         |  |
       |                               +----------- it fails, for longer --------+  |
       +------------------------------------------- it is answered -----------------+

A probe has a lease: when its process dies, the next caller becomes the probe.
"""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.warehouse.statements import statement

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
"""Seconds of the usual windows."""

WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Breaker:
    """When no more calls are made, and for how long.

    Attributes:
        failures: number in a row that opens it.
        first_seconds: how long it is open the first time; each further time in a row twice as long.
        longest_seconds: the upper limit of that.
        probe_seconds: how long a probe has for its answer, before another caller becomes the probe.
    """

    failures: int = 3
    first_seconds: float = 5.0
    longest_seconds: float = 300.0
    probe_seconds: float = 120.0


@dataclass(frozen=True)
class Closed:
    """Why nobody is let through now.

    Attributes:
        seconds: until somebody is.
        reason: the words of the last rest or failure, without customers' data.
        is_broken: whether the breaker is open, and not only a rest under way.
    """

    seconds: float
    reason: str
    is_broken: bool


@dataclass(frozen=True)
class Gate:
    """The gate of one account and kind of call. Each method is a transaction of its own.

    Inside another transaction it would hold up every other process until that ended.

    Attributes:
        connection: commits by itself, and is in no transaction when a method is called.
        name: account and kind of call.
        limits: turns by length of the window in seconds; all of them hold. Without any, it has rests and the breaker.
        breaker: when it opens.
        sleep: waits for a number of seconds.
    """

    connection: psycopg.Connection
    name: str
    limits: Mapping[int, int] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def turn(self, turns: int = 1, *, wait_seconds: float = WAIT_SECONDS) -> Generator["Turn"]:
        """Take turns for the calls inside, and note how they end: by their errors, which are raised on.

        Raises:
            PacedError, UnavailableError: as `take`.
        """
        self.take(turns, wait_seconds=wait_seconds)
        try:
            yield Turn(self)
        except PacedError as error:
            self.rest(error.retry_after_seconds, str(error))
            raise
        except UnavailableError as error:
            self.failed(str(error), rest_seconds=error.retry_after_seconds or 0.0)
            raise
        except OutcomeUnknownError as error:
            self.failed(str(error))
            raise
        except (SourceError, ConfigurationError):
            self.answered()
            raise
        else:
            self.answered()

    def take(self, turns: int = 1, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Wait for turns, all at the same moment. After a breaker was open, the caller may be the probe.

        Args:
            turns: number of calls that are made.
            wait_seconds: the longest wait. A turn further away is not reserved.

        Raises:
            PacedError: the turn is further away, or a rest that was asked for ends later. No call was made.
            UnavailableError: the breaker is open, or its probe has no answer yet. No call was made.
        """
        verdict, seconds, reason = self._row(
            "SELECT * FROM ops.gate_take(%s, %s, %s::int[], %s::int[], %s, %s)",
            turns,
            list(self.limits),
            list(self.limits.values()),
            wait_seconds,
            self.breaker.probe_seconds,
        )
        if verdict == "turn":
            if seconds > 0:
                self.sleep(seconds)
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        said = f" ({reason})" if reason else ""
        if verdict == "later":
            raise PacedError(
                f"{self.name}: the next call may be made at {until:%H:%M:%S} UTC{said}. Try again then.",
                retry_after_seconds=seconds,
            )
        raise UnavailableError(
            f"{self.name}: not called before {until:%H:%M:%S} UTC, as it failed repeatedly{said}. Try again then.",
            retry_after_seconds=seconds,
        )

    def tighten(self, left: Mapping[int, int], *, call_seconds: float) -> None:
        """Keep to the requests that the outside system says are left, until it says something else or its window ends.

        The gate's own limits hold as well. Turns under way, which that number may not know of, are taken off it.

        Args:
            left: by length of the window in seconds, as the answer to a call says. A window begins with a request.
            call_seconds: how long ago that call took its turn.
        """
        if left:
            self._row("SELECT ops.gate_tighten(%s, %s::int[], %s::int[], %s)", [*left], [*left.values()], call_seconds)

    def rest(self, seconds: float, reason: str = "") -> None:
        """Put off every turn that is not reserved yet, as the outside system asked: the first is in ``seconds``."""
        self._row("SELECT ops.gate_rest(%s, %s, %s)", seconds, reason)

    def failed(self, reason: str, *, rest_seconds: float = 0.0) -> None:
        """A call failed, and the outside system is to blame. Counts for the breaker unless that is open already.

        Args:
            reason: in words without a customer's data.
            rest_seconds: how long the outside system asks to be left alone.
        """
        breaker = self.breaker
        self._row(
            "SELECT ops.gate_failed(%s, %s, %s, %s, %s, rest_seconds => %s)",
            reason,
            breaker.failures,
            breaker.first_seconds,
            breaker.longest_seconds,
            rest_seconds,
        )

    def answered(self) -> None:
        """A call was answered, be it with a refusal: the breaker closes."""
        self._row("SELECT ops.gate_answered(%s)")

    def closed(self) -> Closed | None:
        """Whether a caller would have to wait for the end of a rest, or for the breaker; takes no turn."""
        seconds, reason, is_broken = self._row(statement("ops", "gate_closed"))
        return Closed(seconds, reason or "", is_broken) if seconds > 0 else None

    def _row(self, query: LiteralString | sql.SQL, *values: object) -> tuple:
        if not self.connection.autocommit or self.connection.info.transaction_status != TransactionStatus.IDLE:
            raise RuntimeError("a gate inside a transaction would hold up everybody until that ends")
        row = self.connection.execute(query, [self.name, *values]).fetchone()
        assert row is not None  # noqa: S101 (each query gives one row)
        return row


@dataclass(frozen=True)
class Turn:
    """A turn that was taken at a moment of `time.monotonic`."""

    gate: Gate
    taken_at: float = field(default_factory=time.monotonic)

    def tighten(self, left: Mapping[int, int]) -> None:
        """Tighten the gate as the answer to this turn's call says; see `Gate.tighten`."""
        self.gate.tighten(left, call_seconds=time.monotonic() - self.taken_at)
