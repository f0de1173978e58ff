import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cdp_platform.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    PacedError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from cdp_platform.ops.gate import DAY, HOUR, MINUTE, Breaker, Closed, Gate
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TWO_FAILURES = Breaker(failures=2, first_seconds=60)
property_test = hypothesis_settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def granted(
    connection: psycopg.Connection, name: str, limits: dict[int, int], turns: int = 1, at: datetime | None = None
) -> datetime:
    """The moment of turns that are reserved now (too early by what the answer took), or by a clock of the test."""
    row = connection.execute(
        """
        WITH begun AS MATERIALIZED (SELECT coalesce(%(at)s, clock_timestamp()) AS at)
        SELECT begun.at + make_interval(secs => t.wait), t.verdict FROM begun, LATERAL ops.gate_take(
            %(name)s, %(turns)s, %(windows)s::int[], %(limits)s::int[], 1e9, 1, %(at)s) AS t
        """,
        {"name": name, "turns": turns, "windows": [*limits], "limits": [*limits.values()], "at": at},
    ).fetchone()
    assert row is not None
    assert row[1] == "turn"
    return row[0]


def let_time_pass(connection: psycopg.Connection) -> None:
    """The breaker was open for long enough."""
    assert connection.execute("UPDATE ops.gate SET open_until = clock_timestamp() WHERE open_until > now()").rowcount


def require_kept(moments: list[datetime], limits: dict[int, int], before: Sequence[datetime] = ()) -> None:
    """No window that ends with one of these turns has more than its limit, with turns from before."""
    moments = [*before, *sorted(moments)]
    for seconds, limit in limits.items():
        for place in range(max(limit, len(before)), len(moments)):
            assert moments[place] - moments[place - limit] >= timedelta(seconds=seconds)


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60, 100])
def test_no_minute_has_more_turns_than_it_may_however_many_ask_at_once(warehouse: Warehouse, per_minute: int) -> None:
    def ask(_: int) -> list[datetime]:
        with connect(warehouse.settings) as connection:
            return [granted(connection, "busy", {MINUTE: per_minute}) for _ in range(25)]

    with ThreadPoolExecutor(6) as pool:
        moments = [moment for some in pool.map(ask, range(6)) for moment in some]
    assert len(moments) == 150
    require_kept(moments, {MINUTE: per_minute})
    # Nor is a turn wasted: the last is no later than the limit makes it, with a second for the unequal ways of calls.
    minutes = (len(moments) - 1) // per_minute
    assert max(moments) - min(moments) < minutes * timedelta(seconds=61) + timedelta(seconds=30)


@st.composite
def several_limits(draw: st.DrawFn) -> dict[int, int]:
    windows = draw(st.lists(st.sampled_from([MINUTE, HOUR, DAY]), unique=True, min_size=1))
    return {seconds: draw(st.integers(3, 250)) for seconds in windows}


@property_test
@given(
    limits=several_limits(),
    others=st.none() | several_limits(),
    steps=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 40), st.sampled_from([0, 0, 0.5, 30, 5_000])), max_size=12
    ),
    name=st.uuids().map(str),
)
def test_every_window_keeps_its_limit_also_after_the_limit_changed(
    app: psycopg.Connection,
    limits: dict[int, int],
    others: dict[int, int] | None,
    steps: list[tuple[int, int, float]],
    name: str,
) -> None:
    now, moments, before = EPOCH, [], []
    known = limits
    for place, (turns, times, pause) in enumerate(steps):
        if others is not None and place == len(steps) // 2:
            require_kept(moments, limits)
            # What was granted before counts for the new limits too.
            limits, before, moments = others, moments, []
        for _ in range(times):
            moments += [granted(app, name, limits, turns, now)] * turns
        now = max(now, moments[-1]) + timedelta(seconds=pause)
    for seconds, limit in limits.items():
        require_kept(moments, {seconds: limit}, before if seconds in known else [])


@pytest.mark.parametrize("limit", [7, 59, 60, 61, 90, 1_000, 10_000])
def test_who_always_waits_for_the_next_turn_gets_nearly_all_that_the_limit_allows(
    app: psycopg.Connection, limit: int
) -> None:
    now, taken = EPOCH, 0
    at_once = max(1, limit // 100)
    while now < EPOCH + timedelta(seconds=10 * MINUTE):
        now = granted(app, "steady", {MINUTE: limit}, at_once, now)
        taken += at_once
    # The window is a second longer than a minute.
    assert taken >= 0.98 * 10 * limit * 60 / 61


@property_test
@given(
    per_minute=st.integers(1, 5),
    steps=st.lists(st.one_of(st.just(None), st.floats(0, 500)), max_size=25),
    name=st.uuids().map(str),
)
def test_turns_and_rests_in_any_order_keep_the_limit(
    app: psycopg.Connection, per_minute: int, steps: list[float | None], name: str
) -> None:
    moments: list[datetime] = []
    earliest = None
    for rest in steps:
        if rest is not None:
            Gate(app, name).rest(rest)
            row = app.execute("SELECT clock_timestamp() + make_interval(secs => %s)", [rest]).fetchone()
            assert row is not None
            # The rest began a little before the clock was asked.
            earliest = max(earliest or row[0], row[0] - timedelta(seconds=1))
            continue
        moments.append(granted(app, name, {MINUTE: per_minute}))
        assert earliest is None or moments[-1] > earliest - timedelta(seconds=1)
    require_kept(moments, {MINUTE: per_minute})
    assert all(later - sooner > -timedelta(seconds=1) for sooner, later in pairwise(moments))


def test_a_gate_is_as_small_and_quick_for_a_large_limit(app: psycopg.Connection) -> None:
    for name, limit in (("small", 60), ("large", 2_000_000)):
        for place in range(200):
            granted(app, name, {DAY: limit}, min(limit, 1 + place * 50), EPOCH + timedelta(days=2 * place))
    sizes = app.execute("SELECT DISTINCT pg_column_size(moments) FROM ops.gate_window").fetchall()
    assert len(sizes) == 1
    assert sizes[0][0] < 600


def test_turns_of_one_name_are_nothing_to_another(app: psycopg.Connection) -> None:
    waits: list[float] = []
    for name in ("google-sheets a reads", "google-sheets a writes", "google-sheets b writes"):
        Gate(app, name, {MINUTE: 1}, sleep=waits.append).take()
    assert waits == []
    Gate(app, "google-sheets a writes", {MINUTE: 1}, sleep=waits.append).take()
    assert len(waits) == 1
    assert 0 < waits[0] <= 61


def test_all_processes_rest_when_one_was_asked_to(warehouse: Warehouse, app: psycopg.Connection) -> None:
    code = """
from cdp_platform import settings
from cdp_platform.ops.gate import Gate
from cdp_platform.warehouse.connection import connect
with connect(settings.postgres()) as connection:
    Gate(connection, "tired").rest(300, "too many requests")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    waits: list[float] = []
    gate = Gate(app, "tired", {MINUTE: 60}, sleep=waits.append)
    gate.take()
    gate.rest(1)
    gate.take()
    assert all(200 < wait <= 300 for wait in waits)
    assert len(waits) == 2


def test_a_turn_that_is_too_far_away_is_not_reserved(app: psycopg.Connection) -> None:
    waits: list[float] = []
    gate = Gate(app, "busy", {MINUTE: 1, HOUR: 2}, sleep=waits.append)
    gate.take()
    for _ in range(5):
        with pytest.raises(PacedError, match="busy: the next call may be made at") as raised:
            gate.take(wait_seconds=10)
        assert 55 < raised.value.retry_after_seconds <= 61
    gate.rest(5_000, "the quota is used up")
    with pytest.raises(PacedError, match="the quota is used up"):
        gate.take()
    assert gate.closed() is not None
    assert waits == []


def test_more_turns_at_once_than_a_window_has_are_refused(app: psycopg.Connection) -> None:
    gate = Gate(app, "large", {MINUTE: 10})
    with pytest.raises(psycopg.errors.CheckViolation, match="11 turns at once, where 60 s may have 10"):
        gate.take(11)
    gate.take(10)


def test_a_turn_is_never_taken_inside_a_transaction(app: psycopg.Connection) -> None:
    gate = Gate(app, "busy", {MINUTE: 60})
    with tenant_transaction(app, "acme"):
        for method in (gate.take, gate.answered, gate.closed, lambda: gate.rest(1), lambda: gate.failed("x")):
            with pytest.raises(RuntimeError, match="hold up everybody"):
                method()
    gate.take()


def test_the_breaker_opens_lets_one_probe_through_and_closes_with_an_answer(
    warehouse: Warehouse, app: psycopg.Connection
) -> None:
    gate = Gate(app, "shaky", breaker=TWO_FAILURES)
    gate.failed("HTTP 500")
    gate.answered()
    gate.failed("HTTP 500")
    # One failure, an answer, one failure: not two in a row.
    gate.take()
    gate.failed("HTTP 502")
    with connect(warehouse.settings) as connection:
        other = Gate(connection, "shaky", breaker=TWO_FAILURES)
        for each in (gate, other):
            with pytest.raises(UnavailableError, match=r"not called before .*HTTP 502") as raised:
                each.take()
            assert raised.value.retry_after_seconds is not None
            assert 0 < raised.value.retry_after_seconds <= 60
        let_time_pass(app)
        assert gate.closed() is None
        gate.take()
        # The probe is under way.
        with pytest.raises(UnavailableError):
            other.take()
        gate.answered()
        other.take()
        gate.take()
    assert app.execute("SELECT failures, openings, open_until, probe_until FROM ops.gate").fetchone() == (
        0,
        0,
        None,
        None,
    )


def test_a_probe_that_fails_keeps_it_open_for_longer_up_to_a_limit(app: psycopg.Connection) -> None:
    name, now, open_for = "dead", EPOCH, []
    for _ in range(8):
        app.execute("SELECT ops.gate_failed(%s, 'no answer', 3, 5, 60, %s)", [name, now])
        row = app.execute("SELECT extract(epoch FROM open_until - %s)::float8 FROM ops.gate", [now]).fetchone()
        assert row is not None
        open_for.append(row[0])
        # Others began before it opened, and fail now.
        app.execute("SELECT ops.gate_failed(%s, 'no answer', 3, 5, 60, %s)", [name, now + timedelta(seconds=1)])
        now += timedelta(seconds=row[0] or 2)
    assert open_for[0] is None
    # The failure between counted, so the third is in a row.
    assert open_for[1:] == [5, 10, 20, 40, 60, 60, 60]


def test_a_probe_whose_process_dies_is_followed_by_another(warehouse: Warehouse, app: psycopg.Connection) -> None:
    gate = Gate(app, "shaky", breaker=TWO_FAILURES)
    for _ in range(2):
        gate.failed("HTTP 500")
    let_time_pass(app)
    code = """
import os, signal
from cdp_platform import settings
from cdp_platform.ops.gate import Breaker, Gate
from cdp_platform.warehouse.connection import connect
with connect(settings.postgres()) as connection:
    Gate(connection, "shaky", breaker=Breaker(probe_seconds=5)).take()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with pytest.raises(UnavailableError) as raised:
        gate.take()
    assert raised.value.retry_after_seconds is not None
    time.sleep(raised.value.retry_after_seconds + 0.01)
    gate.take()
    with pytest.raises(UnavailableError):
        gate.take()


def test_of_all_who_come_at_once_after_an_open_breaker_one_is_the_probe(
    warehouse: Warehouse, app: psycopg.Connection
) -> None:
    gate = Gate(app, "shaky", breaker=TWO_FAILURES)
    for _ in range(2):
        gate.failed("HTTP 500")
    let_time_pass(app)

    def come(_: int) -> bool:
        with connect(warehouse.settings) as connection:
            try:
                Gate(connection, "shaky", breaker=Breaker(probe_seconds=60)).take()
            except UnavailableError:
                return False
            return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(come, range(12))) == 1


def test_a_rest_that_was_asked_for_is_an_answer(app: psycopg.Connection) -> None:
    gate = Gate(app, "shaky", breaker=TWO_FAILURES)
    for _ in range(2):
        gate.failed("HTTP 500")
    gate.rest(100, "slow down")
    with pytest.raises(PacedError, match="slow down"):
        gate.take(wait_seconds=1)
    gate.answered()
    closed = gate.closed()
    assert closed is not None
    assert 90 < closed.seconds <= 100
    assert closed == Closed(closed.seconds, "slow down", is_broken=False)


def test_a_failure_that_asks_for_a_rest_gets_it_and_counts_for_the_breaker(app: psycopg.Connection) -> None:
    gate = Gate(app, "shaky", breaker=Breaker(failures=2, first_seconds=100))
    with pytest.raises(UnavailableError), gate.turn():
        raise UnavailableError("HTTP 503", retry_after_seconds=50)
    with pytest.raises(PacedError, match="HTTP 503") as raised:
        gate.take(wait_seconds=1)
    assert 40 < raised.value.retry_after_seconds <= 50
    gate.failed("HTTP 503", rest_seconds=20)
    with pytest.raises(UnavailableError):
        gate.take(wait_seconds=1)
    gate.answered()
    with pytest.raises(PacedError):
        gate.take(wait_seconds=1)


def end_of_turn(connection: psycopg.Connection, error: Exception | None) -> str:
    gate = Gate(connection, "ends", breaker=Breaker(failures=1, first_seconds=100))
    try:
        with gate.turn():
            if error is not None:
                raise error
    except Exception as raised:
        assert raised is error  # noqa: PT017 (the same one comes out)
    try:
        gate.take(wait_seconds=1)
    except PacedError:
        return "rests"
    except UnavailableError:
        return "open"
    return "answered"


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, "answered"),
        (PacedError("x", retry_after_seconds=100), "rests"),
        (UnavailableError("x"), "open"),
        (OutcomeUnknownError("x"), "open"),
        (RefusedError("x"), "answered"),
        (SourceError("x", transient=False), "answered"),
        (ConfigurationError("x"), "answered"),
    ],
)
def test_a_turn_ends_as_its_call_did(app: psycopg.Connection, error: Exception | None, end: str) -> None:
    assert end_of_turn(app, error) == end
