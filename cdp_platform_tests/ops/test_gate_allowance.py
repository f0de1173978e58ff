"""The gate of a system that counts requests itself, in windows that begin with a request, and says what is left."""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cdp_platform.errors import PacedError
from cdp_platform.ops.gate import DAY, HOUR, MINUTE, Gate
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import Warehouse

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count()


@dataclass
class Server:
    """Counts requests in fixed windows, as Apollo does. A request too many is counted apart."""

    limit: int
    seconds: float = MINUTE
    opened_at: float = float("-inf")
    count: int = 0
    too_many: int = 0
    windows: list[int] = field(default_factory=list)

    def take(self, now: float) -> int:
        """Count a request; returns what is left."""
        if now >= self.opened_at + self.seconds:
            self.windows.append(self.count)
            self.opened_at, self.count = now, 0
        self.count += 1
        self.too_many += self.count > self.limit
        return max(self.limit - self.count, 0)


@dataclass(frozen=True)
class Callers:
    """Processes that call, each when its last call is answered.

    Attributes:
        known: the most calls in a minute that they know of.
        longest_answer: seconds.
        longest_pause: seconds between an answer and the next call.
    """

    known: int
    processes: int
    longest_answer: float
    longest_pause: float


def simulated(app: psycopg.Connection, server: Server, callers: Callers, *, calls: int, delays: random.Random) -> float:
    """Let processes call the server, by a clock of the test; returns the seconds until the last answer."""
    # Each with a gate of its own, also where hypothesis tries the same once more.
    name, numbers = f"simulated {next(_numbers)}", itertools.count()
    events: list[tuple[float, int, str, float, int]] = []

    def then(at: float, what: str, taken_at: float = 0, left: int = 0) -> None:
        heapq.heappush(events, (at, next(numbers), what, taken_at, left))

    for _ in range(callers.processes):
        then(delays.uniform(0, callers.longest_pause), "take")
    now = 0.0
    while events:
        now, _, what, taken_at, left = heapq.heappop(events)
        at = EPOCH + timedelta(seconds=now)
        if what == "take" and calls > 0:
            calls -= 1
            row = app.execute(
                "SELECT verdict, wait FROM ops.gate_take(%s, 1, '{60}', ARRAY[%s::int], 1e9, 1, %s)",
                [name, callers.known, at],
            ).fetchone()
            assert row is not None
            assert row[0] == "turn"
            then(now + row[1] + delays.uniform(0, 0.9), "arrive", now + row[1])
        elif what == "arrive":
            then(now + delays.uniform(0, callers.longest_answer), "answer", taken_at, server.take(now))
        elif what == "answer":
            app.execute(
                "SELECT ops.gate_tighten(%s, %s::int[], %s::int[], %s, %s)",
                [name, [int(server.seconds)], [left], now - taken_at, at],
            )
            then(now + delays.uniform(0, callers.longest_pause), "take")
    return now


@hypothesis_settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(8, 40),
    callers=st.builds(
        Callers,
        known=st.sampled_from([8, 30, 100, 5_000]),
        processes=st.integers(1, 8),
        longest_answer=st.sampled_from([0.05, 1, 5, 20]),
        longest_pause=st.sampled_from([0, 0.5, 10, 90]),
    ),
    seed=st.integers(0, 2**32),
)
def test_no_window_of_the_server_has_more_requests_than_it_takes(
    app: psycopg.Connection, limit: int, callers: Callers, seed: int
) -> None:
    server = Server(limit)
    simulated(app, server, callers, calls=100, delays=random.Random(seed))  # noqa: S311
    assert server.too_many == 0


@pytest.mark.parametrize(("limit", "known"), [(20, 5_000), (20, 20), (60, 61), (100, 100)])
def test_all_that_the_server_takes_is_used(app: psycopg.Connection, limit: int, known: int) -> None:
    server = Server(limit)
    callers = Callers(known, processes=8, longest_answer=0.3, longest_pause=0)
    seconds = simulated(app, server, callers, calls=5 * limit, delays=random.Random(7))  # noqa: S311
    assert server.too_many == 0
    # The fifth full window begins when four are over, each a second longer for the unequal ways of calls.
    assert seconds < 4 * (MINUTE + 2) + 15


def test_eight_processes_keep_the_windows_of_a_server(warehouse: Warehouse) -> None:
    """In real time, with a connection each: no window of two seconds takes more than 20."""
    server, lock = Server(20, seconds=2), threading.Lock()
    ways: list[float] = []

    def work(_: int) -> None:
        with connect(warehouse.settings) as connection:
            gate = Gate(connection, "hurried", {2: 1_000})
            for _ in range(10):
                with gate.turn() as turn:
                    with lock:
                        now = time.monotonic()
                        ways.append(now - turn.taken_at)
                        left = server.take(now)
                    time.sleep(0.02)
                    turn.tighten({2: left})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sum([*server.windows, server.count]) == 80
    # A call that takes longer than a second to arrive, on a busy machine, may come into the next window.
    assert server.too_many == 0 or max(ways) > 1


def waits_of(gate: Gate, turns: int) -> Sequence[float]:
    waits: list[float] = []
    with_waits = Gate(gate.connection, gate.name, gate.limits, sleep=waits.append)
    for _ in range(turns):
        with_waits.take()
    return waits


def test_what_is_left_is_taken_and_then_its_window_is_waited_for(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 100})
    with gate.turn() as turn:
        turn.tighten({MINUTE: 3})
    assert waits_of(gate, 3) == []
    (wait,) = waits_of(gate, 1)
    assert 59 < wait <= 61


def test_the_gates_own_limit_is_never_loosened(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 2})
    with gate.turn() as turn:
        turn.tighten({MINUTE: 1_000, HOUR: 1_000})
    assert waits_of(gate, 1) == []
    assert len(waits_of(gate, 1)) == 1


def test_a_window_that_the_gate_does_not_know_is_kept_too(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 100})
    with gate.turn() as turn:
        turn.tighten({MINUTE: 50, DAY: 1})
    assert waits_of(gate, 1) == []
    assert gate.closed() is not None
    with pytest.raises(PacedError) as caught:
        gate.take()
    assert DAY - 60 < caught.value.retry_after_seconds <= DAY + 1


def test_turns_under_way_are_taken_off_what_is_left(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 100})
    with gate.turn() as turn:
        gate.take(4)
        turn.tighten({MINUTE: 5})
    assert waits_of(gate, 1) == []
    assert len(waits_of(gate, 1)) == 1


def test_more_that_is_left_later_means_another_window(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 1_000})
    for left in (1, 400):
        with gate.turn() as turn:
            turn.tighten({MINUTE: left})
    assert waits_of(gate, 50) == []


def test_requests_of_others_are_missing_in_what_is_left(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 1_000})
    for left in (400, 2):
        with gate.turn() as turn:
            turn.tighten({MINUTE: left})
    assert waits_of(gate, 2) == []
    assert len(waits_of(gate, 1)) == 1


def test_an_answer_without_a_word_of_it_changes_nothing(app: psycopg.Connection) -> None:
    gate = Gate(app, "told", {MINUTE: 100})
    with gate.turn() as turn:
        turn.tighten({})
    assert waits_of(gate, 50) == []
    assert gate.closed() is None
