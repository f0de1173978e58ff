"""Every lock is one of `ops.locks`, and they are taken in one order."""

import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

import cdp_platform
from cdp_platform.errors import BusyError
from cdp_platform.ops import locks
from cdp_platform.ops.locks import Lock, held, share, syncing, take, tried
from cdp_platform.warehouse.connection import advisory_key, connect
from cdp_platform_tests.conftest import Warehouse

ALL = [
    locks.ingestor("acme", "shop"),
    locks.feed("acme", "urn:x"),
    locks.registry("acme"),
    locks.sync("acme", "cdp_profile"),
    locks.tracker("acme"),
    locks.spreadsheet("s1", link="https://sheets/s1"),
    locks.referral_days("acme"),
    locks.value("acme"),
    locks.segments("acme"),
    locks.payments("acme"),
    locks.enrichment("acme"),
    locks.erasure("acme"),
    locks.second_worker("acme", "cdp_profile"),
    locks.alerts(),
]


@pytest.fixture
def other(warehouse: Warehouse) -> Iterator[psycopg.Connection]:
    """Another session, which waits for no lock longer than a moment."""
    with connect(warehouse.settings) as connection:
        connection.execute("SET lock_timeout = '100ms'")
        yield connection


def is_free(connection: psycopg.Connection, lock: Lock) -> bool:
    with tried(connection, lock, wait_seconds=0.1) as free:
        return free


def test_the_order_is_that_of_the_module():
    orders = [int(order) for order in re.findall(r"return Lock\((\d+), ", inspect.getsource(locks))]
    assert orders == [lock.order for lock in ALL] == sorted(set(orders))
    assert len({lock.name for lock in ALL}) == len(ALL)


def test_nothing_else_of_the_package_takes_a_lock():
    root = Path(cdp_platform.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in [*root.rglob("*.py"), *root.rglob("*.sql")]
        if re.search(r"pg_(try_)?advisory|single_flight\(", path.read_text(encoding="utf-8"))
        and "migrations" not in path.parts
    }
    assert found == {"ops/locks.py", "warehouse/connection.py", "warehouse/migrate.py"}


def test_functions_of_the_database_take_no_other_locks_than_the_module_says(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        rows = connection.execute(
            "SELECT pronamespace::regnamespace::text || '.' || proname FROM pg_proc"
            " WHERE prosrc ~ 'advisory' AND prosrc !~ 'erasure_lock' AND pronamespace::regnamespace::text !~ '^pg_'"
        ).fetchall()
    named = set(re.findall(r"``(\w+\.\w+)``", inspect.getdoc(locks) or ""))
    assert {name for (name,) in rows} == named


@pytest.mark.parametrize("tenant_id", ["acme", "a-b_c", "9"])
def test_the_database_and_the_platform_mean_the_same_lock_of_erasures(app: psycopg.Connection, tenant_id: str):
    key = app.execute(b"SELECT " + advisory_key(locks.erasure(tenant_id).name).as_bytes(app)).fetchone()
    assert key == app.execute("SELECT ops.erasure_lock(%s)", [tenant_id]).fetchone()


@pytest.mark.parametrize("lock", ALL, ids=lambda lock: lock.name)
def test_who_does_not_get_a_lock_is_told_why(app: psycopg.Connection, other: psycopg.Connection, lock: Lock):
    with held(app, lock):
        with pytest.raises(BusyError, match=re.escape(lock.busy)), held(other, lock, wait_seconds=0.05):
            pytest.fail("both have it")
        for way in (take, share):
            with pytest.raises(BusyError, match=re.escape(lock.busy)), other.transaction():
                way(other, lock)


def test_a_lock_is_free_after_what_was_done_with_it(app: psycopg.Connection, other: psycopg.Connection):
    lock = locks.sync("acme", "cdp_profile")
    with suppress(ZeroDivisionError), held(app, lock):
        assert not is_free(other, lock)
        raise ZeroDivisionError
    assert is_free(other, lock)
    with app.transaction():
        share(app, lock)
        with other.transaction():
            share(other, lock)
        assert not is_free(other, lock)
    assert is_free(other, lock)


def test_a_sync_begins_after_a_second_worker_of_an_earlier_one(app: psycopg.Connection, other: psycopg.Connection):
    with app.transaction():
        share(app, locks.second_worker("acme", "cdp_profile"))
        with pytest.raises(BusyError, match="still being written"), syncing(other, "acme", "cdp_profile"):
            pytest.fail("it began")
    with syncing(other, "acme", "cdp_profile"):
        lock = locks.sync("acme", "cdp_profile")
        assert locks.is_held(app, lock, by=other.info.backend_pid)
        assert not locks.is_held(app, lock, by=app.info.backend_pid)
        assert not locks.is_held(app, locks.sync("acme", "another"), by=other.info.backend_pid)
    assert not locks.is_held(app, lock, by=other.info.backend_pid)


def test_another_order_is_refused_before_it_waits(app: psycopg.Connection):
    with held(app, locks.sync("acme", "cdp_profile")), held(app, locks.sync("acme", "cdp_profile2conversion")):
        with app.transaction():
            take(app, locks.erasure("acme"))
        for lock in (locks.registry("acme"), locks.sync("acme", "a"), locks.ingestor("acme", "shop")):
            with pytest.raises(RuntimeError, match="is to be taken before"):
                take(app, lock)
            with pytest.raises(RuntimeError, match="is to be taken before"), held(app, lock):
                pytest.fail("it was taken")
        # Again what it has already.
        with app.transaction():
            take(app, locks.sync("acme", "cdp_profile"))
    with held(app, locks.ingestor("acme", "shop")):
        pass
