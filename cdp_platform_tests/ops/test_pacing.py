import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cdp_platform.ops.pacing import Pacer, open_pacer
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

MINUTE = timedelta(seconds=60)


def granted(connection: psycopg.Connection, name: str, per_minute: int) -> datetime:
    """The moment of a turn that is reserved now, as the server's clock has it (too early by what the answer took)."""
    row = connection.execute(
        "WITH begun AS MATERIALIZED (SELECT clock_timestamp() AS at) SELECT at + ops.take_turn(%s, %s) FROM begun",
        [name, per_minute],
    ).fetchone()
    assert row is not None
    return row[0]


def require_paced(moments: list[datetime], per_minute: int) -> None:
    """No window of 60 seconds has more turns than a minute may have."""
    moments = sorted(moments)
    for first, beyond in zip(moments, moments[per_minute:], strict=False):
        assert beyond - first >= MINUTE


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60])
def test_no_minute_has_more_turns_than_it_may_however_many_ask_at_once(warehouse: Warehouse, per_minute: int) -> None:
    def ask(_: int) -> list[datetime]:
        with connect(warehouse.settings) as connection:
            return [granted(connection, "busy", per_minute) for _ in range(25)]

    with ThreadPoolExecutor(6) as pool:
        moments = [moment for some in pool.map(ask, range(6)) for moment in some]
    assert len(moments) == 150
    require_paced(moments, per_minute)
    # Nor is a turn wasted: the last is no later than the limit makes it, with a second for the unequal ways of calls.
    minutes = (len(moments) - 1) // per_minute
    assert max(moments) - min(moments) < minutes * timedelta(seconds=61) + timedelta(seconds=30)


@hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
            Pacer(app).rest(name, rest)
            row = app.execute("SELECT clock_timestamp() + make_interval(secs => %s)", [rest]).fetchone()
            assert row is not None
            # The rest began a little before the clock was asked.
            earliest = max(earliest or row[0], row[0] - timedelta(seconds=1))
            continue
        moments.append(granted(app, name, per_minute))
        assert earliest is None or moments[-1] > earliest - timedelta(seconds=1)
    require_paced(moments, per_minute)
    assert all(later - sooner > -timedelta(seconds=1) for sooner, later in pairwise(moments))


def test_turns_of_one_name_are_nothing_to_another(app: psycopg.Connection) -> None:
    waits: list[float] = []
    pacer = Pacer(app, waits.append)
    for name in ("google-sheets a reads", "google-sheets a writes", "google-sheets b writes"):
        pacer.wait_for_turn(name, per_minute=1)
    assert waits == []
    pacer.wait_for_turn("google-sheets a writes", per_minute=1)
    assert len(waits) == 1
    assert 0 < waits[0] <= 61


def test_all_processes_rest_when_one_was_asked_to(warehouse: Warehouse, app: psycopg.Connection) -> None:
    code = """
from cdp_platform import settings
from cdp_platform.ops.pacing import open_pacer
with open_pacer(settings.postgres()) as pacer:
    pacer.rest("tired", 300)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    waits: list[float] = []
    pacer = Pacer(app, waits.append)
    pacer.wait_for_turn("tired", per_minute=60)
    pacer.rest("tired", 1)
    pacer.wait_for_turn("tired", per_minute=60)
    assert all(200 < wait <= 300 for wait in waits)
    assert len(waits) == 2


def test_a_turn_is_never_taken_inside_a_transaction(app: psycopg.Connection) -> None:
    pacer = Pacer(app)
    with tenant_transaction(app, "acme"):
        with pytest.raises(RuntimeError, match="hold up everybody"):
            pacer.wait_for_turn("busy", per_minute=1)
        with pytest.raises(RuntimeError, match="hold up everybody"):
            pacer.rest("busy", 1)
    pacer.wait_for_turn("busy", per_minute=1)


def test_a_pacer_of_its_own_takes_turns_beside_an_open_transaction(
    warehouse: Warehouse, app: psycopg.Connection
) -> None:
    with tenant_transaction(app, "acme"), open_pacer(warehouse.settings) as pacer:
        pacer.wait_for_turn("busy", per_minute=1)
        pacer.rest("busy", 0)
