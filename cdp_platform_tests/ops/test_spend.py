import threading
from datetime import date
from decimal import Decimal

import psycopg

from cdp_platform.ops.spend import Spend
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse

SPEND = Spend("loyalty", "acme", "letters", "USD", date(2026, 11, 29))


def amount(connection: psycopg.Connection, spend: Spend = SPEND) -> Decimal:
    with tenant_transaction(connection, spend.tenant_id):
        return spend.amount(connection)


def reserve(connection: psycopg.Connection, *amounts: str, limit: str | None = None, spend: Spend = SPEND) -> int:
    with tenant_transaction(connection, spend.tenant_id):
        return spend.reserve(connection, [*map(Decimal, amounts)], limit=None if limit is None else Decimal(limit))


def test_what_would_pass_the_limit_is_refused_and_not_a_cent_is_lost(room: psycopg.Connection) -> None:
    assert reserve(room, "0.10", "0.20", "0.70", "0.01", limit="1") == 3
    assert amount(room) == Decimal("1.00")
    assert reserve(room, "0.000001", limit="1") == 0
    assert amount(room) == 1
    assert reserve(room, "5") == 1
    assert amount(room) == 6


def test_a_correction_gives_back_what_was_not_spent(room: psycopg.Connection) -> None:
    reserve(room, "1", limit="1")
    with tenant_transaction(room, "acme"):
        SPEND.correct(room, Decimal("-0.4"))
    assert reserve(room, "0.4", "0.01", limit="1") == 1
    assert amount(room) == 1


def test_each_tenant_account_day_and_unit_has_its_own_amount(room: psycopg.Connection) -> None:
    others = [
        Spend("loyalty", "other", "letters", "USD", SPEND.day),
        Spend("loyalty", "acme", "calls", "USD", SPEND.day),
        Spend("loyalty", "acme", "letters", "EUR", SPEND.day),
        Spend("loyalty", "acme", "letters", "USD", date(2026, 11, 30)),
    ]
    reserve(room, "1", limit="1")
    assert [reserve(room, "1", limit="1", spend=each) for each in others] == [1, 1, 1, 1]
    assert reserve(room, "1", limit="1") == 0


def test_two_workers_do_not_both_take_the_last_of_a_limit(warehouse: Warehouse, room: psycopg.Connection) -> None:
    reserve(room, "9", limit="10")
    taken: list[int] = []

    def second() -> None:
        with connect(warehouse.settings) as connection:
            taken.append(reserve(connection, "1", limit="10"))

    worker = threading.Thread(target=second)
    with tenant_transaction(room, "acme"):
        assert SPEND.reserve(room, [Decimal(1)], limit=Decimal(10)) == 1
        worker.start()
        with warehouse.superuser() as watcher:
            blocked = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while watcher.execute(blocked).fetchone() == (0,):
                worker.join(0.01)
                assert worker.is_alive(), "it did not wait for the first, which has not committed"
    worker.join()
    assert taken == [0]
    assert amount(room) == 10


def test_what_a_worker_reserved_stays_counted_and_what_it_did_not_commit_does_not(
    warehouse: Warehouse, room: psycopg.Connection
) -> None:
    with connect(warehouse.settings) as dying:
        reserve(dying, "3", limit="10")
        dying.execute("BEGIN; SELECT set_config('app.tenant_id', 'acme', true)")
        SPEND.reserve(dying, [Decimal(4)], limit=Decimal(10))
        dying.close()
    assert amount(room) == 3
    assert reserve(room, "8", limit="10") == 0
