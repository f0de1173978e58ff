"""What sources, servers and disks do to a sync, and that nothing is lost, nothing comes twice and nobody else pays.

Beside the ordinary cases of `test_sync.py` and the fields of `test_mapping.py`.
"""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.customers import profiles
from cdp_platform.errors import SourceError
from cdp_platform.ops import tenants
from cdp_platform.orchestration.failures import describe, is_transient
from cdp_platform.resources import arango
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import migrate
from cdp_platform_tests.conftest import PASSWORD as POSTGRES_PASSWORD
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings, running_server
from cdp_platform_tests.leo import STAMP, Leo
from cdp_platform_tests.sandbox_process import PASSWORD, SandboxProcess


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three, so that a handful of documents crosses several."""
    for reader in (arango.ArangoDatabase.stream_json, arango.ArangoDatabase.begin):
        assert reader.__kwdefaults__
        monkeypatch.setitem(reader.__kwdefaults__, "batch_size", 3)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A PostgreSQL that a test may do anything to."""
    with running_server() as running:
        yield running


@pytest.fixture
def own_warehouse(own_server: Server) -> settings.PostgresSettings:
    made = postgres_settings(own_server, own_server.new_database("test_owner"))
    migrate(made)
    return made


@pytest.fixture
def mortal_leo(
    new_sandbox: Callable[[], SandboxProcess],
    app: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> Leo:
    """A tenant whose ArangoDB may be ended."""
    own = new_sandbox()
    monkeypatch.setenv("ARANGO_HOST", own.url)
    monkeypatch.setenv("ARANGO_PASSWORD", PASSWORD)
    settings.forget()
    own.arango().create_database("leo")
    own.arango("leo").create_collection(profiles.COLLECTION)
    tenants.add(app, "acme", arango_database="leo")
    return Leo(own, app, tenants.get(app, "acme"))


def _after(read: int, what: Callable[[], object]) -> Callable[[int, int | None], None]:
    """Progress that does something once, when so many documents are committed."""
    todo = [what]

    def progress(done: int, _total: int | None) -> None:
        if done >= read and todo:
            todo.pop()()

    return progress


def _nine_days(leo: Leo) -> set[str]:
    for day in range(1, 10):
        leo.profile(f"p{day}", day)
    return {f"p{day}" for day in range(1, 10)}


def _answers_with(leo: Leo, *documents: str) -> Callable[[], None]:
    """Makes the source answer its next query with just these, which are JSON as it stands."""
    body = f'{{"result": [{", ".join(documents)}], "hasMore": false, "error": false, "code": 201}}'
    rule = {"match": {"method": "POST", "path_regex": "/_api/cursor$"}, "action": "status", "status": 201, "body": body}
    return lambda: leo.sandbox.spoil(rule)


# What documents can be like.


def test_stamps_in_every_form_land_and_hide_nobody(leo: Leo):
    forms = [
        "2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00.000Z",
        "2026-01-05T12:00:00.123456Z",
        "2026-01-05T12:00:00+07:00",
        "2026-01-05T12:00:00",
        "2026-01-05 12:00:00",
        "2026-01-05",
        "20260105T120000Z",
        1767614400000,
        "",
        None,
    ]
    for number, form in enumerate(forms):
        leo.profile(f"a{number}", updatedAt=form)
    assert leo.sync().new == len(forms)
    moments = leo.rows("SELECT DISTINCT date_trunc('second', updated_at)::text FROM customers.cdp_profiles ORDER BY 1")
    noon = "2026-01-05 12:00:00+00"
    assert moments == [("2026-01-05 00:00:00+00",), ("2026-01-05 05:00:00+00",), (noon,), (None,)]
    # Another day, and everybody in every form again.
    for number, form in enumerate(forms):
        leo.profile(f"b{number}", updatedAt=form.replace("01-05", "01-06") if isinstance(form, str) else form)
    leo.sync()
    assert leo.keys() == {f"{when}{number}" for when in "ab" for number in range(len(forms))}
    assert (leo.stamp() or "").startswith("2026-01-06T12:00:00")


@pytest.mark.parametrize("year", ["2025000000", "9999999999"])
def test_a_year_of_ten_digits_costs_one_document_and_no_other(leo: Leo, year: str):
    leo.profile("p1", 1)
    leo.profile("far", updatedAt=f"{year}-01-01T00:00:00.000Z")
    leo.profile("p2", 2)
    result = leo.sync()
    assert (result.new, result.rejected_by_code, leo.stamp()) == (2, {"not_a_timestamp": 1}, STAMP.format(day=2))
    leo.profile("p3", 3)
    leo.sync()
    assert leo.keys() == {"p1", "p2", "p3"}
    assert [(record.document_key, record.path) for record in leo.waiting()] == [("far", "$.updatedAt")]


def test_a_document_of_five_megabytes_is_a_document(leo: Leo):
    leo.profile("p1", 1)
    leo.profile("large", 2, extAttributes={"text": "ü" * 2_500_000})
    leo.profile("p3", 3)
    assert leo.sync().new == 3
    length = "octet_length(document->'extAttributes'->>'text')"
    assert leo.rows(f"SELECT {length} FROM customers.cdp_profiles WHERE profile_id = 'large'") == [(5_000_000,)]
    assert leo.sync().unchanged >= 1


def test_what_json_cannot_say_or_postgresql_not_store_is_kept_and_costs_the_page_nothing(leo: Leo):
    edge = '{"_key": "%s", "_from": "cdp_profile/p1", "updatedAt": "2026-01-01T00:00:00.000Z", %s}'
    page = [
        edge % ("nan", '"transactionValue": NaN'),
        edge % ("infinite", '"transactionValue": 1e400'),
        edge % ("half", r'"eventMetricId": "caf\ud83d"'),
        edge % ("nul", r'"transactionId": "\u0000"'),
        edge % ("huge", '"totalEvent": 123456789012345678901234567890'),
        edge % ("good", '"transactionValue": 12.5'),
    ]
    result = leo.sync("transactions", progress=_after(0, _answers_with(leo, *page)))
    assert leo.sandbox.fired() == [1]
    codes = {"not_an_amount": 2, "lone_surrogate": 1, "nul_character": 1, "not_an_integer": 1}
    assert (result.new, result.rejected_by_code) == (1, codes)
    assert leo.rows("SELECT line_id, amount FROM customers.transactions") == [("good", Decimal("12.5"))]
    kept = {record.document_key: record.document for record in leo.waiting()}
    assert kept["half"]["eventMetricId"] == "caf\ud83d"
    assert kept["nul"]["transactionId"] == "\x00"
    assert kept["huge"]["totalEvent"] == 123456789012345678901234567890
    # JSON has no word for these two.
    assert (kept["nan"]["transactionValue"], kept["infinite"]["transactionValue"]) == ("NaN", "Infinity")


def test_amounts_as_texts_are_exact_or_wait_and_the_others_land(leo: Leo):
    amounts = {"exact": "12.50", "long": "0.1234567890123456789", "empty": "", "words": "n/a", "dots": "1.299.000"}
    for key, amount in amounts.items():
        leo.purchase(key, "p1", transactionValue=amount)
    assert leo.sync("transactions").rejected_by_code == {"not_an_amount": 2}
    assert leo.rows("SELECT line_id, amount::text FROM customers.transactions ORDER BY 1") == [
        ("empty", None),
        ("exact", "12.50"),
        ("long", "0.1234567890123456789"),
    ]
    assert {record.document_key for record in leo.waiting()} == {"words", "dots"}


def test_nulls_where_objects_and_lists_belong_land_as_nothing(leo: Leo):
    lists = ["identities", "inSegments", "inJourneyMaps", "purchasedItems", "topEngagedTouchpointIds", "jobTitles"]
    objects = ["eventStatistics", "extAttributes", "lastPurchaseEvent"]
    leo.profile("null", **dict.fromkeys([*lists, *objects]))
    leo.put(profiles.COLLECTION, {"_key": "nulls", **{name: [None] for name in lists}})
    leo.purchase("null", "p1", segmentIds=None, assetGroupIds=[None], quantity=None, transactionId=None)
    assert (leo.sync().new, leo.sync("transactions").new) == (2, 1)
    found = leo.rows(
        "SELECT identities, segments, journey_maps, purchased_items, job_titles, event_statistics, ext_data,"
        " last_purchase_event FROM customers.cdp_profiles"
    )
    assert found == [([], [], [], [], [], {}, {}, None)] * 2
    lines = leo.rows("SELECT segment_ids, asset_group_ids, quantity, order_id FROM customers.transactions")
    assert lines == [([], [], None, None)]


def test_codes_that_nobody_knows_land_with_the_code(leo: Leo):
    leo.profile("above", status=99, gender=42, type=77, mergeCode=-9)
    leo.profile("below", status=-99)
    assert leo.sync().new == 2
    columns = "profile_id, status, status_code, closed_reason, gender, profile_type"
    found = leo.rows(f"SELECT {columns} FROM customers.cdp_profiles ORDER BY 1")
    assert found == [
        ("above", "active", 99, None, "unknown", 77),
        ("below", "archived", -99, "invalid", None, None),
    ]


# What the source can do.


def test_a_source_that_is_killed_in_the_middle_is_an_outage_after_which_the_run_goes_on(mortal_leo: Leo):
    everybody = _nine_days(mortal_leo)
    endings: list[int | None] = []
    with pytest.raises(SourceError, match="ARANGO_HOST") as caught:
        mortal_leo.sync(progress=_after(3, lambda: endings.append(mortal_leo.sandbox.end(signal.SIGKILL))))
    assert endings == [-signal.SIGKILL]
    assert is_transient(caught.value)
    assert (mortal_leo.keys(), mortal_leo.stamp()) == ({"p1", "p2", "p3"}, STAMP.format(day=3))
    mortal_leo.sandbox.start()
    result = mortal_leo.sync()
    assert (result.new, result.changed) == (6, 0)
    assert mortal_leo.keys() == everybody


def test_a_source_that_forgot_the_cursor_says_so_and_the_next_run_goes_on(mortal_leo: Leo):
    everybody = _nine_days(mortal_leo)

    def restart() -> None:
        mortal_leo.sandbox.end()
        mortal_leo.sandbox.start()

    with pytest.raises(SourceError, match="the cursor expired") as caught:
        mortal_leo.sync(progress=_after(3, restart))
    assert is_transient(caught.value)
    assert mortal_leo.keys() == {"p1", "p2", "p3"}
    assert mortal_leo.sync().new == 6
    assert mortal_leo.keys() == everybody


@pytest.mark.parametrize(("path", "read"), [("/_api/cursor$", 0), (r"/_api/cursor/\d+", 3)])
@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_an_answer_that_is_lost_is_asked_for_again_and_comes_once(leo: Leo, path: str, read: int, action: str):
    everybody = _nine_days(leo)
    lost = {"match": {"method": "POST", "path_regex": path}, "action": action}
    result = leo.sync(progress=_after(read, lambda: leo.sandbox.spoil(lost)))
    assert leo.sandbox.fired() == [1]
    assert (result.read, result.new) == (9, 9)
    assert leo.keys() == everybody


@pytest.mark.parametrize(("path", "read"), [("/_api/cursor$", 0), (r"/_api/cursor/\d+", 3)])
@pytest.mark.parametrize("action", ["drop_before", "drop_after", "truncate"])
def test_a_line_that_stays_bad_is_an_outage_after_which_the_run_goes_on(leo: Leo, path: str, read: int, action: str):
    everybody = _nine_days(leo)
    bad = {"match": {"method": "POST", "path_regex": path}, "action": action, "times": None}
    with pytest.raises(SourceError, match="no usable answer") as caught:
        leo.sync(progress=_after(read, lambda: leo.sandbox.spoil(bad)))
    assert leo.sandbox.fired()[0] >= 1
    assert is_transient(caught.value)
    assert len(leo.keys()) == read
    leo.sandbox.clear()
    assert leo.sync().new == 9 - read
    assert leo.keys() == everybody


def test_a_clock_that_went_back_hides_no_new_document(leo: Leo):
    for day in (10, 11, 12):
        leo.profile(f"p{day}", day)
    leo.sync()
    # For a week everything is stamped as it was before.
    early = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1000)
    leo.profile("new", 4)
    leo.profile("p10", 4, firstName="changed")
    _answers_with(leo, str(early))()
    result = leo.sync()
    assert leo.sandbox.fired() == [1]
    # Had something else than the clock been answered, this count would be it.
    assert (result.source_count, result.full, result.new) == (4, True, 1)
    assert leo.keys() == {"p10", "p11", "p12", "new"}
    # The position is now one that the clock can vouch for, so nothing that comes next is missed either.
    assert leo.stamp() == STAMP.format(day=4)
    leo.profile("p11", 5, firstName="changed too")
    leo.sync()
    changed = leo.rows("SELECT profile_id FROM customers.cdp_profiles WHERE first_name IS NOT NULL ORDER BY 1")
    assert changed == [("p10",), ("p11",)]


# Who else is at work.


def test_two_syncs_of_one_tenant_at_once_go_one_after_the_other(leo: Leo, warehouse: Warehouse):
    everybody = _nine_days(leo)
    half, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        half.set()
        assert go_on.wait(30)

    def first() -> Any:
        with connect(warehouse.settings) as connection:
            return replace(leo, connection=connection).sync(progress=_after(3, pause))

    def second() -> Any:
        with connect(warehouse.settings) as connection:
            return replace(leo, connection=connection).sync()

    with ThreadPoolExecutor() as threads, warehouse.superuser() as watcher:
        one = threads.submit(first)
        try:
            assert half.wait(30)
            other = threads.submit(second)
            _wait_until(lambda: _waiting_for_a_lock(watcher) == 1)
            assert leo.keys() == {"p1", "p2", "p3"}
        finally:
            go_on.set()
        assert (one.result(30).new, one.result().read) == (9, 9)
        # It began when the first had ended, and knew all that the first had done.
        assert (other.result(30).new, other.result().changed, other.result().full) == (0, 0, False)
    assert leo.keys() == everybody


def _waiting_for_a_lock(watcher: psycopg.Connection) -> int:
    row = watcher.execute(
        "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database"
        " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return row[0]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What PostgreSQL can do.


def _restart_at_once(server: Server) -> None:
    """Stop in immediate mode, in which sessions just end, and start with a recovery."""
    process = server.postgres.process()
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    process.wait(30)
    server.postgres.start(superuser_password=POSTGRES_PASSWORD)


def _in(warehouse: settings.PostgresSettings, leo: Leo, work: Callable[[Leo], Any]) -> Any:
    """Work for the same tenant in another warehouse."""
    with connect(warehouse) as connection:
        tenants.add(connection, leo.tenant.tenant_id, arango_database=leo.tenant.arango_database)
        return work(replace(leo, connection=connection))


def test_a_postgresql_that_is_restarted_in_the_middle_is_an_outage_after_which_the_run_goes_on(
    leo: Leo, own_server: Server, own_warehouse: settings.PostgresSettings
):
    everybody = _nine_days(leo)
    before = own_server.postgres.process()
    with pytest.raises(psycopg.OperationalError) as caught:
        _in(own_warehouse, leo, lambda there: there.sync(progress=_after(3, lambda: _restart_at_once(own_server))))
    assert own_server.postgres.process() != before
    assert is_transient(caught.value)
    assert _in(own_warehouse, leo, lambda there: (there.keys(), there.stamp())) == (
        {"p1", "p2", "p3"},
        STAMP.format(day=3),
    )
    result = _in(own_warehouse, leo, lambda there: there.sync())
    assert (result.new, result.changed) == (6, 0)
    assert _in(own_warehouse, leo, lambda there: there.keys()) == everybody


def test_a_lost_connection_to_postgresql_is_told_in_words(
    leo: Leo, own_server: Server, own_warehouse: settings.PostgresSettings
):
    _nine_days(leo)
    with pytest.raises(psycopg.OperationalError) as caught:
        _in(own_warehouse, leo, lambda there: there.sync(progress=_after(3, lambda: _restart_at_once(own_server))))
    assert "connection" in describe(caught.value)


@contextmanager
def _files_no_larger_than(size: int, server: Server) -> Generator[None]:
    """Restart the server so that no file of it can grow further: to PostgreSQL as good as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    server.postgres.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        server.postgres.start(superuser_password=POSTGRES_PASSWORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    yield
    server.postgres.stop()
    server.postgres.start(superuser_password=POSTGRES_PASSWORD)


def test_a_disk_that_is_full_costs_the_batch_and_not_what_was_there(
    leo: Leo, own_server: Server, own_warehouse: settings.PostgresSettings
):
    # Four megabytes each that do not compress, so that the third batch of three does not fit. Segments of the
    # write-ahead log have 16 MB and are not in the way.
    for day in range(1, 10):
        leo.profile(f"p{day}", day, blob=os.urandom(2_000_000).hex())
    with _files_no_larger_than(24 * 2**20, own_server):
        with pytest.raises(psycopg.Error) as caught:
            _in(own_warehouse, leo, lambda there: there.sync())
        assert "could not extend file" in describe(caught.value)
        left = _in(own_warehouse, leo, lambda there: (there.keys(), there.stamp(), there.waiting()))
        assert left == ({f"p{day}" for day in range(1, 7)}, STAMP.format(day=6), [])
    result = _in(own_warehouse, leo, lambda there: there.sync())
    assert (result.new, result.changed) == (3, 0)
    assert _in(own_warehouse, leo, lambda there: there.keys()) == {f"p{day}" for day in range(1, 10)}
