"""What triggers keep beside the rows, by the batch: members of segments, touched customers, and rows of the metrics."""

from typing import Any

import psycopg
import pytest

from cdp_platform.customers import metrics
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.leo import Leo, with_customers

MEMBERS = "SELECT segment_id, profile_id FROM customers.segment_member ORDER BY 1, 2"
# As the rows themselves say.
NAMED = (
    "SELECT DISTINCT segment ->> 'id', profile_id"
    " FROM customers.cdp_profiles, jsonb_array_elements(segments) AS segment ORDER BY 1, 2"
)
SEGMENTS = "SELECT segment, count(*) FROM customers.customer_metrics GROUP BY 1 ORDER BY 1"
COUNTED = "SELECT segment, number FROM customers.metrics_segment WHERE number > 0 ORDER BY 1"


def named(*keys: str) -> list[dict[str, str]]:
    return [{"id": key, "name": f"segment {key}"} for key in keys]


def touched(leo: Leo) -> list[list[str]]:
    rows = leo.rows("SELECT profile_ids FROM customers.touched_customer")
    return sorted(sorted(profile_ids) for (profile_ids,) in rows)


def test_members_follow_profiles_that_come_change_close_and_go(leo: Leo):
    leo.profile("nam", inSegments=named("a", "b", "a"))
    leo.profile("mai", inSegments=named("b"))
    leo.profile("none")
    leo.sync()
    assert leo.rows(MEMBERS) == leo.rows(NAMED) == [("a", "nam"), ("b", "mai"), ("b", "nam")]
    leo.profile("nam", day=2, inSegments=named("b", "c"))
    leo.profile("mai", day=2, status=0, inSegments=named("b"))
    leo.sync()
    # Closed profiles too: whoever looks only for open ones asks the profiles.
    assert leo.rows(MEMBERS) == leo.rows(NAMED) == [("b", "mai"), ("b", "nam"), ("c", "nam")]
    leo.delete("cdp_profile", "mai")
    leo.reconcile()
    assert leo.rows(MEMBERS) == leo.rows(NAMED) == [("b", "mai"), ("b", "nam"), ("c", "nam")]
    leo.erase("nam")
    assert leo.rows(MEMBERS) == leo.rows(NAMED) == [("b", "mai")]


def test_a_member_that_a_restore_brought_without_its_profile_stands_in_no_ones_way(leo: Leo):
    leo.profile("nam", inSegments=named("a", "b", "b"))
    leo.profile("mai", inSegments=named("b"))
    with tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute("INSERT INTO customers.segment_member VALUES ('acme', 'b', 'nam')")
    assert leo.sync().new == 2
    assert leo.rows(MEMBERS) == leo.rows(NAMED) == [("a", "nam"), ("b", "mai"), ("b", "nam")]


def test_an_erased_person_who_is_merged_into_another_leaves_the_segments_of_both(leo: Leo):
    leo.profile("nam", inSegments=named("a"))
    leo.profile("mai", inSegments=named("a"))
    leo.sync()
    leo.erase("nam")
    leo.profile("mai", day=2, rootProfileId="nam", inSegments=named("a", "b"))
    leo.sync()
    assert leo.rows(MEMBERS) == []


def test_a_statement_touches_all_its_customers_in_one_row(leo: Leo):
    with_customers(leo, 3)
    leo.sync()
    assert touched(leo) == [["c0", "c1", "c2"]]
    leo.sync("transactions")
    assert touched(leo) == [["c0", "c1", "c2"]] * 2
    assert metrics.refresh(leo.connection, leo.tenant.tenant_id).computed == 3
    assert touched(leo) == []
    # Another version of an open profile has no other metrics.
    leo.profile("c1", day=2, firstName="Other")
    leo.profile("c2", day=2, status=0)
    leo.sync()
    assert touched(leo) == [["c2"]]
    leo.purchase("e0", "c1", day=2)
    leo.sync("transactions")
    # The line was c0's.
    assert touched(leo) == [["c0", "c1"], ["c2"]]


def test_an_erasure_takes_the_person_out_of_batches_and_leaves_the_others(leo: Leo):
    with_customers(leo, 3)
    leo.sync()
    leo.sync("transactions")
    receipt = leo.erase("c1")
    assert receipt.rows["customers.touched_customer"] == 2
    assert touched(leo) == [["c0", "c2"]] * 2
    # A batch of the erased person alone goes.
    with tenant_transaction(leo.connection, leo.tenant.tenant_id):
        leo.connection.execute(
            "INSERT INTO customers.touched_customer (tenant_id, profile_ids)"
            " VALUES ('acme', '{c1}'), ('acme', '{c1,c2}')"
        )
    assert touched(leo) == [["c0", "c2"], ["c0", "c2"], ["c2"]]


def test_rows_of_the_metrics_are_counted_by_segment(leo: Leo):
    with_customers(leo, 3)
    leo.profile("new")
    for kind in ("profiles", "transactions"):
        leo.sync(kind)
    result = metrics.refresh(leo.connection, leo.tenant.tenant_id)
    assert result.segments == dict(leo.rows(SEGMENTS)) == dict(leo.rows(COUNTED))
    assert (result.rows, result.segments["prospective"]) == (4, 1)
    leo.purchase("e9", "new")
    leo.sync("transactions")
    leo.erase("c0")
    result = metrics.refresh(leo.connection, leo.tenant.tenant_id)
    assert result.segments == dict(leo.rows(SEGMENTS)) == dict(leo.rows(COUNTED))
    assert (result.rows, "prospective" in result.segments) == (3, False)


@pytest.mark.parametrize("table", ["segment_member", "metrics_segment"])
def test_other_tenants_see_nothing_of_it(new_leo: Any, app: psycopg.Connection, warehouse: Warehouse, table: str):
    one = new_leo("one")
    new_leo("other")
    one.profile("nam", inSegments=named("a"))
    one.sync()
    metrics.refresh(one.connection, "one")
    count = f"SELECT count(*) FROM customers.{table}".encode()
    for tenant_id, rows in (("one", 1), ("other", 0)):
        with tenant_transaction(app, tenant_id):
            assert app.execute(count).fetchone() == (rows,)
