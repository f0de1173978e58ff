"""The counter of rows and documents is right whatever writes, and every reconciliation proves it."""

from collections.abc import Callable

import psycopg
import pytest

from cdp_platform.customers import counter, segment_sync
from cdp_platform.customers.counter import Held
from cdp_platform.customers.replay import replay
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.leo import Leo, with_customers

COUNTED = "SELECT held_rows, deleted_rows FROM ops.sync_watermark WHERE source = 'cdp_profile'"


def held(leo: Leo, kind: str = "profiles") -> Held:
    """As the counter says, after it was compared with the rows."""
    with leo.reading(kind) as (_, mapper), tenant_transaction(leo.connection, leo.tenant.tenant_id):
        said = counter.held(leo.connection, leo.tenant, mapper)
        assert counter.recount(leo.connection, leo.tenant, mapper) == 0
    return said


def test_it_follows_new_changed_closed_and_erased_documents(leo: Leo):
    with_customers(leo, 4)
    leo.sync()
    leo.sync("transactions")
    assert held(leo) == Held(rows=4, documents=4)
    leo.profile("c4", day=2)
    leo.profile("c3", day=2, status=0)
    leo.sync()
    assert held(leo) == Held(rows=5, documents=5)
    leo.delete("cdp_profile", "c4")
    assert leo.reconcile().closed == 1
    assert held(leo) == Held(rows=5, documents=4)
    leo.erase("c0")
    # The tombstones are documents of the source that are dealt with.
    assert held(leo) == Held(rows=4, documents=4)
    assert held(leo, "transactions") == Held(rows=3, documents=4)
    leo.profile("c4", day=3)
    leo.sync()
    assert held(leo) == Held(rows=4, documents=5)


def test_it_follows_rejected_documents_and_their_replay(leo: Leo):
    leo.profile("good")
    leo.profile("bad", inSegments={"id": "x"})
    assert leo.sync().rejected == 1
    assert held(leo) == Held(rows=1, documents=2)
    with leo.reading() as (source, mapper):
        replayed = replay(leo.connection, source, leo.tenant)
    assert replayed[mapper.collection].rejected == 1
    leo.profile("bad", day=2)
    leo.sync()
    assert held(leo) == Held(rows=2, documents=2)


def test_it_follows_the_sync_of_a_segment_before_any_other(leo: Leo):
    leo.profile("in", inSegments=[{"id": "s"}])
    with leo.reading() as (source, mapper):
        segment_sync.sync_profiles(leo.connection, source, leo.tenant, mapper, "s")
    assert held(leo) == Held(rows=1, documents=1)
    leo.profile("out")
    assert leo.sync().rows == 2
    assert held(leo) == Held(rows=2, documents=2)


def test_a_transaction_that_fails_counts_nothing(leo: Leo):
    with_customers(leo)
    leo.sync()
    query = "WITH gone AS (DELETE FROM customers.cdp_profiles RETURNING 1) SELECT 1 / 0 FROM gone"
    with pytest.raises(psycopg.errors.DivisionByZero), tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute(query)
    assert held(leo) == Held(rows=2, documents=2)


def test_a_sync_counts_no_rows_but_the_first_time(leo: Leo):
    with_customers(leo)
    leo.sync()
    with tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute("UPDATE ops.sync_watermark SET held_rows = held_rows + 40")
    assert leo.sync().rows == 42, "the counter is what counts"
    with tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute("UPDATE ops.sync_watermark SET held_rows = NULL, deleted_rows = NULL")
    assert leo.sync().rows == 2, "as after the migration of an older warehouse"
    assert leo.rows(COUNTED) == [(2, 0)]


def test_a_reconciliation_corrects_it_and_says_so(leo: Leo, warehouse: Warehouse):
    with_customers(leo, 3)
    leo.sync()
    assert leo.reconcile().miscounted == 0
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM customers.cdp_profiles WHERE profile_id = 'c1'")
    found = leo.reconcile()
    assert (found.missing, found.miscounted) == (1, 1)
    assert held(leo) == Held(rows=3, documents=3)


def test_tenants_have_counters_of_their_own(new_leo: Callable[..., Leo]):
    one, other = new_leo("one"), new_leo("other")
    with_customers(one, 3)
    with_customers(other, 1)
    one.sync()
    other.sync()
    one.erase("c0")
    assert (held(one).rows, held(other).rows) == (2, 1)
