"""What moves, what is read again, what is kept, and what is never lost."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cdp_platform import settings
from cdp_platform.customers import landing
from cdp_platform.customers import source as source_module
from cdp_platform.customers import sync as sync_module
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.replay import replay
from cdp_platform.customers.source import TenantSource, stamp
from cdp_platform.errors import BusyError, MissingCollectionError, SourceError
from cdp_platform.ops import locks
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.leo import STAMP, Leo

pytestmark = pytest.mark.usefixtures("small_batches")


def test_the_first_run_reads_everything_and_the_second_only_what_changed(leo: Leo):
    for day in range(1, 11):
        leo.profile(f"p{day}", day)
    first = leo.sync()
    assert (first.read, first.new, first.watermark) == (10, 10, STAMP.format(day=10))
    leo.profile("p3", 11, firstName="Nam")
    leo.profile("p11", 11)
    second = leo.sync()
    # The overlap reaches ten minutes back: p10 is read again and found unchanged.
    assert (second.read, second.new, second.changed, second.unchanged) == (3, 1, 1, 1)
    assert leo.keys() == {f"p{day}" for day in range(1, 12)}
    assert leo.rows("SELECT first_name FROM customers.cdp_profiles WHERE profile_id = 'p3'") == [("Nam",)]


def test_a_run_over_unchanged_documents_rewrites_no_row(leo: Leo):
    for day in range(1, 8):
        leo.profile(f"p{day}", day)
    leo.sync()
    before = leo.versions()
    again = leo.sync(full=True)
    assert (again.read, again.unchanged) == (7, 7)
    assert leo.versions() == before


def test_a_write_that_changes_only_the_revision_costs_nothing(leo: Leo):
    leo.profile("p1", firstName="Nam")
    leo.sync()
    before = leo.versions()
    leo.profile("p1", firstName="Nam")
    assert leo.sync().unchanged == 1
    assert leo.versions() == before


def test_a_whole_page_of_equal_stamps_loses_nobody(leo: Leo):
    for number in range(20):
        leo.profile(f"p{number}", 5)
    leo.sync()
    for number in range(20, 40):
        leo.profile(f"p{number}", 5)
    leo.sync()
    assert len(leo.keys()) == 40


def test_a_late_commit_with_an_older_stamp_is_found_in_the_overlap(leo: Leo):
    leo.profile("p1", updatedAt="2026-01-05T12:00:00.000Z")
    leo.sync()
    leo.profile("late", updatedAt="2026-01-05T11:51:00.000Z")
    leo.sync()
    assert leo.keys() == {"p1", "late"}


def test_the_watermark_stays_when_the_newest_document_is_gone(leo: Leo):
    leo.profile("p1", updatedAt="2026-01-05T12:00:00.000Z")
    leo.profile("p2", updatedAt="2026-01-05T12:05:00.000Z")
    leo.sync()
    leo.database.collection("cdp_profile").delete("p2")
    leo.sync()
    assert leo.stamp() == "2026-01-05T12:05:00.000Z"


def test_documents_that_come_with_old_stamps_are_noticed_by_their_number(leo: Leo):
    leo.profile("p1", 20)
    leo.profile("broken", 20, inSegments={"id": "x"})
    leo.sync()
    assert not leo.sync().full
    for number in range(7):
        leo.profile(f"imported{number}", 3)
    result = leo.sync()
    assert (result.full, result.new, result.watermark) == (True, 7, STAMP.format(day=20))
    assert not leo.sync().full


def test_documents_without_a_comparable_stamp_are_read_every_time(leo: Leo):
    leo.profile("p1", 5)
    leo.sync()
    leo.profile("missing", day=None)
    leo.profile("number", updatedAt=1760769612004)
    leo.sync()
    assert leo.keys() == {"p1", "missing", "number"}
    leo.profile("missing", day=None, firstName="Nam")
    assert leo.sync().changed == 1


def test_a_stamp_in_the_future_lands_but_does_not_become_the_watermark(leo: Leo):
    leo.profile("p1", 5)
    leo.profile("typo", updatedAt="2099-01-01T00:00:00.000Z")
    assert leo.sync().watermark == STAMP.format(day=5)
    leo.profile("p2", 6)
    leo.sync()
    assert leo.keys() == {"p1", "typo", "p2"}


def test_a_stamp_just_ahead_of_the_source_does_not_eat_the_overlap(leo: Leo):
    now = datetime.now(UTC)
    leo.profile("p1", updatedAt=stamp(now - timedelta(minutes=2)), firstName="old")
    leo.profile("fast", updatedAt=stamp(now + timedelta(minutes=9)))
    leo.sync()
    leo.profile("p1", updatedAt=stamp(now - timedelta(minutes=1)), firstName="new")
    leo.sync()
    assert leo.rows("SELECT first_name FROM customers.cdp_profiles WHERE profile_id = 'p1'") == [("new",)]


def test_a_day_that_the_calendar_does_not_have_stops_nobody(leo: Leo):
    leo.profile("p1", 5)
    leo.profile("p2", updatedAt="2026-02-30T00:00:00.000Z")
    result = leo.sync()
    assert (result.watermark, result.rejected_by_code) == (STAMP.format(day=5), {"not_a_timestamp": 1})
    leo.profile("p3", 6)
    assert leo.sync().new == 1


def test_in_another_database_the_watermark_means_nothing(new_leo: Callable[..., Leo]):
    before = new_leo("acme")
    for day in (18, 19, 20):
        before.profile(f"old{day}", day)
    before.sync()
    moved = new_leo("acme")
    assert moved.tenant.arango_database != before.tenant.arango_database
    moved.profile("new", 1)
    assert moved.sync().full
    assert moved.rows("SELECT profile_id FROM customers.cdp_profiles WHERE profile_id = 'new'") == [("new",)]


@pytest.mark.parametrize("value", ["", "1760769612004"])
def test_a_stamp_that_is_no_time_as_text_is_read_every_time(leo: Leo, value: str):
    leo.profile("p1", 5)
    leo.profile("odd", updatedAt=value, firstName="old")
    leo.sync()
    leo.profile("odd", updatedAt=value, firstName="new")
    leo.sync()
    found = leo.rows("SELECT first_name FROM customers.cdp_profiles WHERE profile_id = 'odd'")
    # Milliseconds as text are no time that could be trusted: rejected, and seen each time.
    assert found == ([("new",)] if value == "" else [])
    assert [record.attempts for record in leo.waiting()] == ([] if value == "" else [2])


def test_a_changed_phone_region_takes_effect_with_a_full_run(new_leo: Callable[..., Leo]):
    american = new_leo("acme", phone_region="US")
    american.profile("p1", primaryPhone="090 123 4567")
    american.sync()
    vietnamese = new_leo("acme", database=american.tenant.arango_database, phone_region="VN")
    vietnamese.sync(full=True)
    assert vietnamese.rows("SELECT primary_phone FROM customers.cdp_profiles") == [("+84901234567",)]


def test_a_full_run_after_a_restore_of_the_source_goes_back_with_it(leo: Leo):
    leo.profile("p1", 20)
    leo.sync()
    leo.profile("p1", 5)
    leo.sync(full=True)
    assert leo.stamp() == STAMP.format(day=5)


def test_rows_and_watermark_of_a_batch_are_one_transaction(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    for day in range(1, 10):
        leo.profile(f"p{day}", day)
    write, batches = landing._write, iter(range(10))

    def dies_in_the_third_batch(*args):
        result = write(*args)
        if next(batches) == 2:
            raise RuntimeError("killed")
        return result

    monkeypatch.setattr(landing, "_write", dies_in_the_third_batch)
    with pytest.raises(RuntimeError, match="killed"):
        leo.sync()
    assert leo.keys() == {f"p{day}" for day in range(1, 7)}
    assert leo.stamp() == STAMP.format(day=6)
    monkeypatch.setattr(landing, "_write", write)
    leo.sync()
    assert len(leo.keys()) == 9


def test_a_response_that_is_lost_after_the_cursor_moved_loses_no_batch(leo: Leo):
    for day in range(1, 13):
        leo.profile(f"p{day}", day)
    leo.sandbox.spoil({"match": {"method": "POST", "path_regex": r"/_api/cursor/\d+"}, "action": "drop_after"})
    assert leo.sync().read == 12
    assert leo.sandbox.fired() == [1]
    assert len(leo.keys()) == 12


def test_a_page_that_is_no_json_is_an_outage_and_not_a_defect(leo: Leo):
    leo.profile("p1")
    login = {"action": "status", "status": 200, "body": "<html>Please log in</html>", "times": None}
    leo.sandbox.spoil({"match": {"path_regex": "/_api/cursor"}, **login})
    with pytest.raises(SourceError) as caught:
        leo.sync()
    assert caught.value.transient
    assert leo.sandbox.fired()[0] >= 1


@pytest.mark.parametrize(("status", "transient"), [(429, True), (408, True), (503, True), (500, True), (400, False)])
def test_what_may_pass_is_told_from_what_does_not(leo: Leo, status: int, transient: bool):
    rule = {"match": {"path_regex": "/_api/cursor"}, "action": "status", "status": status, "times": None}
    leo.sandbox.spoil({**rule, "body": {"error": True, "code": status, "errorNum": status, "errorMessage": "no"}})
    with pytest.raises(SourceError) as caught:
        leo.sync()
    assert caught.value.transient is transient
    assert leo.sandbox.fired()[0] >= 1


def test_a_batch_that_fails_to_land_closes_the_cursor(leo: Leo, monkeypatch: pytest.MonkeyPatch):
    for day in range(1, 10):
        leo.profile(f"p{day}", day)

    def breaks(*_args, **_options) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(landing, "land", breaks)
    leo.sandbox.spoil({"match": {"method": "DELETE", "path_regex": "/_api/cursor/"}, "action": "delay", "seconds": 0})
    with pytest.raises(RuntimeError, match="killed"):
        leo.sync()
    assert leo.sandbox.fired() == [1]


def test_a_failed_read_is_not_an_empty_source(leo: Leo):
    for day in range(1, 10):
        leo.profile(f"p{day}", day)
    leo.sync()
    rule = {"match": {"path_regex": "/_api/cursor"}, "action": "status", "status": 500, "times": None}
    leo.sandbox.spoil(rule)
    with pytest.raises(SourceError) as caught:
        leo.sync(full=True)
    assert caught.value.transient
    assert leo.sandbox.fired()[0] >= 1
    assert len(leo.keys()) == 9
    assert leo.stamp() == STAMP.format(day=9)


def test_a_collection_that_does_not_exist_is_an_error_that_says_so(leo: Leo):
    leo.database.delete_collection("cdp_profile")
    with pytest.raises(MissingCollectionError, match="Is this a LEO CDP database"):
        leo.sync()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [("ARANGO_PASSWORD", "wrong", "ARANGO_PASSWORD"), ("ARANGO_HOST", "http://127.0.0.1:1", "ARANGO_HOST")],
)
def test_a_source_that_lets_nobody_in_names_the_variable(leo: Leo, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    settings.forget()
    with pytest.raises(SourceError, match=words):
        leo.sync()


def test_an_empty_collection_is_an_ordinary_result(leo: Leo):
    result = leo.sync()
    assert (result.read, result.source_count, result.watermark) == (0, 0, None)


def test_a_broken_document_waits_and_the_others_land(leo: Leo):
    leo.profile("good", 1)
    leo.profile("broken", 2, inSegments={"id": "x"})
    leo.profile("nul", 3, firstName="N\x00am")
    result = leo.sync()
    assert (result.new, result.rejected) == (1, 2)
    assert result.rejected_by_code == {"not_a_list": 1, "nul_character": 1}
    assert leo.keys() == {"good"}
    kept = {record.document_key: record for record in leo.waiting()}
    assert kept["nul"].document["firstName"] == "N\x00am"
    assert (kept["broken"].code, kept["broken"].path) == ("not_a_list", "$.inSegments")
    # Read again in the overlap, it stays one record.
    leo.sync()
    assert len(leo.waiting()) == 2


def test_a_rejected_document_that_is_mended_in_the_source_no_longer_waits(leo: Leo):
    leo.profile("p1", 1, inSegments={"id": "x"})
    leo.sync()
    leo.profile("p1", 2, inSegments=[{"id": "x", "name": "X"}])
    leo.sync()
    assert leo.waiting() == []
    assert leo.keys() == {"p1"}


def test_a_version_that_breaks_leaves_the_good_one_and_waits(leo: Leo):
    leo.profile("p1", 1, firstName="Nam")
    leo.sync()
    leo.profile("p1", 2, firstName="Nam", inSegments={"id": "x"})
    leo.sync()
    assert leo.rows("SELECT first_name, updated_at::text FROM customers.cdp_profiles") == [
        ("Nam", "2026-01-01 00:00:00+00")
    ]
    assert len(leo.waiting()) == 1


def test_a_rejected_document_that_is_gone_no_longer_waits_after_a_full_run(leo: Leo):
    leo.profile("p1", 1, inSegments={"id": "x"})
    leo.profile("p2", 1, inSegments={"id": "x"})
    leo.sync()
    leo.database.collection("cdp_profile").delete("p1")
    leo.sync(full=True)
    assert [record.document_key for record in leo.waiting()] == ["p2"]


def test_replay_waits_for_a_sync_and_writes_nothing_older(leo: Leo, warehouse, monkeypatch: pytest.MonkeyPatch):
    leo.profile("p1", 1, inSegments={"id": "x"})
    leo.sync()
    monkeypatch.setattr(locks, "SYNC_WAIT_SECONDS", 0.2)
    mapper = ProfileMapper(leo.tenant, lambda _keys: [])
    with (
        connect(warehouse.settings) as other,
        locks.held(other, locks.sync("acme", "cdp_profile")),
        pytest.raises(BusyError),
    ):
        sync_module.replay(leo.connection, leo.tenant, mapper)


def test_replay_goes_through_all_pages(leo: Leo):
    for number in range(7):
        leo.profile(f"p{number}", 1, inSegments={"id": "x"})
    leo.sync()
    mapper = ProfileMapper(leo.tenant, lambda _keys: [])
    replayed = sync_module.replay(leo.connection, leo.tenant, mapper, batch_size=3)
    assert (replayed.read, replayed.rejected) == (7, 7)


def test_replay_takes_what_can_be_taken_now(leo: Leo):
    leo.profile("p1", 1, inSegments={"id": "x"})
    leo.profile("p2", 1, inSegments={"id": "x"})
    leo.sync()
    # What a mended mapping would make of it.
    for record in leo.waiting()[:1]:
        mended = json.dumps({**record.document, "inSegments": []})
        leo.rows(
            f"UPDATE ops.rejected_record SET document = '{mended}' WHERE document_key = 'p1' RETURNING document_key"
        )
    with open_database(settings.arango(), leo.tenant.arango_database) as database:
        outcome = replay(leo.connection, TenantSource(database, leo.tenant), leo.tenant)
    assert (outcome["cdp_profile"].read, outcome["cdp_profile"].rejected) == (2, 1)
    assert leo.keys() == {"p1"}
    assert [record.document_key for record in leo.waiting()] == ["p2"]


def test_merged_and_removed_profiles_are_closed_and_kept(leo: Leo):
    for key in ("stays", "merged", "removed"):
        leo.profile(key, 1)
    leo.sync()
    leo.profile("merged", 2, status=0, rootProfileId="stays")
    leo.profile("removed", 2, status=-4)
    leo.sync()
    found = leo.rows("SELECT profile_id, closed_reason FROM customers.cdp_profiles ORDER BY 1")
    assert found == [("merged", "merged"), ("removed", "removed"), ("stays", None)]


def test_touchpoints_are_joined_and_a_missing_one_keeps_its_id(leo: Leo):
    leo.put("cdp_touchpoint", {"_key": "t1", "name": "Shop", "hostname": None, "url": "https://example.com"})
    leo.profile("p1", topEngagedTouchpointIds=["t1", "gone"])
    leo.sync()
    ((found,),) = leo.rows("SELECT top_engaged_touchpoints FROM customers.cdp_profiles")
    assert found == [
        {"id": "t1", "name": "Shop", "hostname": None, "url": "https://example.com", "parentId": None},
        {"id": "gone"},
    ]


def test_a_full_run_notices_that_a_touchpoint_changed(leo: Leo):
    leo.put("cdp_touchpoint", {"_key": "t1", "name": "Old"})
    leo.profile("p1", topEngagedTouchpointIds=["t1"])
    leo.sync()
    leo.put("cdp_touchpoint", {"_key": "t1", "name": "New"})
    assert leo.sync(full=True).changed == 1


def test_a_cdp_without_touchpoints_still_syncs(leo: Leo):
    leo.database.delete_collection("cdp_touchpoint")
    leo.profile("p1", topEngagedTouchpointIds=["t1"])
    leo.sync()
    assert leo.rows("SELECT top_engaged_touchpoints FROM customers.cdp_profiles") == [([{"id": "t1"}],)]


def test_the_lines_of_one_order_stay_lines_and_the_view_sums_them(leo: Leo):
    for number, amount in enumerate([10, 20.5, 0.25]):
        leo.purchase(f"e{number}", "p1", transactionId="ORD-1", transactionValue=amount)
    leo.purchase("other", "p1", transactionId="ORD-1", transactionValue=1000, currencyCode="VND")
    leo.purchase("alone", "p1", transactionId="")
    leo.sync("transactions")
    assert len(leo.keys("transactions")) == 5
    orders = leo.rows("SELECT order_id, currency, lines, amount FROM customers.orders ORDER BY 1, 2")
    assert orders == [
        ("ORD-1", "USD", 3, Decimal("30.75")),
        ("ORD-1", "VND", 1, Decimal(1000)),
        ("alone", "USD", 1, Decimal(10)),
    ]


def test_the_whole_document_is_kept(leo: Leo):
    leo.profile("p1", 1, anything={"nested": [1, 2.5, None, "ü"]})
    leo.sync()
    ((document,),) = leo.rows("SELECT document FROM customers.cdp_profiles")
    assert document["anything"] == {"nested": [1, 2.5, None, "ü"]}
    assert document["_key"] == "p1"


def test_the_same_key_in_two_tenants_is_two_customers(new_leo: Callable[..., Leo]):
    one, other = new_leo("one"), new_leo("other")
    one.profile("p1", firstName="Nam")
    other.profile("p1", firstName="Mai")
    one.sync()
    other.sync()
    assert one.rows("SELECT tenant_id, first_name FROM customers.cdp_profiles") == [("one", "Nam")]
    assert other.rows("SELECT tenant_id, first_name FROM customers.cdp_profiles") == [("other", "Mai")]


def test_in_a_shared_database_a_tenant_reads_its_own_documents(new_leo: Callable[..., Leo]):
    one = new_leo("one", shared_database=True)
    other = new_leo("other", database=one.tenant.arango_database, shared_database=True)
    one.profile("p1", tenant_id="one")
    one.profile("p2", tenant_id="other")
    one.sync()
    other.sync()
    assert (one.keys(), other.keys()) == ({"p1"}, {"p2"})


def test_in_a_shared_database_a_touchpoint_of_another_tenant_stays_its_own(new_leo: Callable[..., Leo]):
    one = new_leo("one", shared_database=True)
    one.put("cdp_touchpoint", {"_key": "t1", "name": "Secret", "tenant_id": "other"})
    one.profile("p1", tenant_id="one", topEngagedTouchpointIds=["t1"])
    one.sync()
    assert one.rows("SELECT top_engaged_touchpoints FROM customers.cdp_profiles") == [([{"id": "t1"}],)]


def test_a_document_that_says_it_is_anothers_is_never_taken(leo: Leo):
    leo.profile("p1", tenant_id="somebody")
    leo.profile("p2", tenant_id="somebody", primaryEmail="private@example.com")
    assert leo.sync().rejected_by_code == {"foreign_tenant": 2}
    assert leo.keys() == set()
    assert [record.document for record in leo.waiting()] == [{"_key": "p1"}, {"_key": "p2"}]


def test_two_syncs_of_one_tenant_never_interleave(leo: Leo, warehouse, monkeypatch: pytest.MonkeyPatch):
    leo.profile("p1")
    monkeypatch.setattr(locks, "SYNC_WAIT_SECONDS", 0.2)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with connect(warehouse.settings) as other, locks.held(other, locks.sync("acme", "cdp_profile")):
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(60)
        with pytest.raises(BusyError):
            leo.sync()
        assert leo.keys() == set()
    finally:
        release.set()
        thread.join()
    assert leo.sync().new == 1


def test_progress_is_told_after_each_batch(leo: Leo):
    for day in range(1, 8):
        leo.profile(f"p{day}", day)
    told: list[tuple[int, int | None]] = []
    leo.sync(progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]


def test_the_source_says_how_many_it_has_and_its_greatest_stamp(leo: Leo):
    leo.profile("p1", 1)
    leo.profile("p2", 3)
    with open_database(settings.arango(), leo.tenant.arango_database) as database:
        state = TenantSource(database, leo.tenant).states()["cdp_profile"]
        leo.profile("typo", updatedAt="2099-01-01T00:00:00.000Z")
        later = TenantSource(database, leo.tenant).states()["cdp_profile"]
    assert state == source_module.SourceState(2, STAMP.format(day=3))
    # A stamp in the future would hide every change until its day.
    assert later == source_module.SourceState(3, STAMP.format(day=3))
