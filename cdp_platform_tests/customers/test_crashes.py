"""A sync that is killed anywhere, and run again, leaves what a sync leaves that was never killed."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cdp_platform import settings
from cdp_platform.customers import metrics, profiles, transactions, value
from cdp_platform.customers import sync as sync_module
from cdp_platform.customers.replay import replay
from cdp_platform.customers.source import TenantSource, stamp
from cdp_platform.ops import tenants
from cdp_platform.resources import arango
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests import crashes
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.leo import Leo

_TABLES = {profiles.COLLECTION: "customers.cdp_profiles", transactions.COLLECTION: "customers.transactions"}
# When the platform did something, and how often, differs between two runs that did the same.
_CIRCUMSTANCES = ("tenant_id", "synced_at", "first_seen_at", "last_seen_at", "attempts")
_NO_LIST = {"inSegments": {"id": "s1"}}
_NO_AMOUNT = {"transactionValue": "n/a"}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three, so that a handful of documents crosses several."""
    for reader in (arango.ArangoDatabase.stream_json, arango.ArangoDatabase.begin):
        assert reader.__kwdefaults__
        monkeypatch.setitem(reader.__kwdefaults__, "batch_size", 3)
    monkeypatch.setattr(sync_module, "replay", partial(sync_module.replay, batch_size=2))


def _days_ago(days: int) -> dict[str, Any]:
    return {"updatedAt": stamp(datetime.now(UTC).replace(microsecond=0) - timedelta(days=days))}


def _fill(leo: Leo) -> None:
    """Three batches of profiles and two of purchases: equal stamps across batches, some broken, one without a stamp."""
    equal = _days_ago(40)
    for key in ("p1", "p2", "p3"):
        leo.profile(key, **equal, firstName=key)
    leo.profile("unstamped", day=None, firstName="old")
    leo.profile("broken", **_days_ago(39), **_NO_LIST)
    for number, key in enumerate(["p4", "p5", "p6"]):
        leo.profile(key, **_days_ago(38 - number), firstName=key)
    for number, profile in enumerate(["p1", "p1", "p4", "unstamped"]):
        leo.purchase(f"e{number}", profile, **equal, createdAt=equal["updatedAt"], transactionValue=100 * number)
    leo.purchase("broken", "p6", **_days_ago(37), **_NO_AMOUNT)


def _change(leo: Leo) -> None:
    """Each way in which documents change, and again three batches of profiles and two of purchases."""
    equal = _days_ago(5)
    for key in ("p7", "p8"):
        leo.profile(key, **equal, firstName=key)
    leo.profile("p2", **equal, firstName="changed")
    leo.profile("p5", **equal, status=0, rootProfileId="p6")
    leo.profile("unstamped", day=None, firstName="new")
    leo.profile("broken", **_days_ago(4), firstName="mended")
    leo.profile("broken2", **_days_ago(3), **_NO_LIST)
    for number, profile in enumerate(["p7", "p8"], start=10):
        leo.purchase(f"e{number}", profile, **equal, createdAt=equal["updatedAt"], transactionValue=100 * number)
    leo.purchase("e1", "p2", **equal, createdAt=equal["updatedAt"], transactionValue=7)
    leo.purchase("broken", "p6", **_days_ago(4), transactionValue=1)
    leo.purchase("broken2", "p6", **_days_ago(3), **_NO_AMOUNT)


def _run(leo: Leo) -> None:
    leo.sync("profiles")
    leo.sync("transactions")
    metrics.refresh(leo.connection, leo.tenant.tenant_id)
    value.refresh(leo.connection, leo.tenant)


def _replay(leo: Leo) -> None:
    with open_database(settings.arango(), leo.tenant.arango_database) as database:
        replay(leo.connection, TenantSource(database, leo.tenant), leo.tenant)


@pytest.fixture
def alone(warehouse: Warehouse) -> Callable[[Callable[[Leo], None]], Callable[[Leo], None]]:
    """Work on a connection of its own."""

    def make(work: Callable[[Leo], None]) -> Callable[[Leo], None]:
        def go(leo: Leo) -> None:
            with connect(warehouse.settings) as connection:
                work(replace(leo, connection=connection))

        return go

    return make


@pytest.fixture
def copies(warehouse: Warehouse) -> Callable[[Leo], Iterator[Leo]]:
    """Tenants that have all that another has, in every table."""
    with warehouse.superuser() as superuser:
        tables = superuser.execute(
            """
            SELECT format('%I.%I', table_schema, table_name), string_agg(quote_ident(c.column_name), ', ')
            FROM information_schema.tables JOIN information_schema.columns AS c USING (table_schema, table_name)
            JOIN information_schema.columns AS t USING (table_schema, table_name)
            WHERE table_type = 'BASE TABLE' AND t.column_name = 'tenant_id' AND c.column_name <> 'tenant_id'
              AND c.is_generated = 'NEVER' AND c.is_identity = 'NO'
            GROUP BY 1
            """
        ).fetchall()

    def make(leo: Leo) -> Iterator[Leo]:
        for number in itertools.count(1):
            name = f"copy{number}"
            with warehouse.superuser() as superuser, superuser.transaction():
                # Without triggers and foreign keys: a table's rows must not depend on which table came before.
                superuser.execute("SET LOCAL session_replication_role = replica")
                for table, columns in tables:
                    copy = f"INSERT INTO {table} (tenant_id, {columns}) SELECT %s, {columns} FROM {table}"
                    superuser.execute(f"{copy} WHERE tenant_id = %s".encode(), [name, leo.tenant.tenant_id])
            yield replace(leo, tenant=tenants.get(leo.connection, name))

    return make


def _state(leo: Leo) -> dict[str, Any]:
    """Everything of a tenant that has to come out the same, whatever happened on the way."""
    left_out = "{" + ",".join(_CIRCUMSTANCES) + "}"
    queries = {table: f"SELECT to_jsonb(t) FROM {table} AS t" for table in _TABLES.values()}
    queries["metrics"] = "SELECT to_jsonb(t) - 'updated_at' FROM customers.customer_metrics AS t"
    queries["value"] = "SELECT to_jsonb(t) - 'updated_at' FROM customers.customer_value AS t"
    queries["models"] = "SELECT to_jsonb(t) - 'computed_at' FROM customers.value_model AS t"
    queries["rejected"] = "SELECT to_jsonb(t) FROM ops.rejected_record AS t WHERE resolved_at IS NULL"
    queries["watermark"] = "SELECT jsonb_build_array(source, stamp, source_count) FROM ops.sync_watermark"
    return {
        name: leo.rows(f"SELECT row - '{left_out}'::text[] FROM ({query}) AS q (row) ORDER BY row::text")
        for name, query in queries.items()
    }


def _check_that_nothing_was_skipped(leo: Leo, source: dict[str, dict[str, str]], point: crashes.KillPoint) -> None:
    """What lies below the watermark is here in just that version, as a row or waiting, and never as both."""
    for collection, table in _TABLES.items():
        key = "profile_id" if collection == profiles.COLLECTION else "line_id"
        rows = leo.rows(f"SELECT {key}, document->>'updatedAt' FROM {table}")
        waiting = leo.rows(
            "SELECT document_key, document->>'updatedAt' FROM ops.rejected_record"
            f" WHERE source = '{collection}' AND resolved_at IS NULL"
        )
        assert not set(rows) & set(waiting), point
        known = leo.stamp(collection)
        if known is not None:
            # Of those with just that stamp, a part may be in a batch to come: a run begins again before its watermark.
            read = {(document_key, at) for document_key, at in source[collection].items() if at < known}
            assert read <= {*rows, *waiting}, point
            assert known <= max(at for _, at in [*rows, *waiting] if at), point


def _stamps(leo: Leo) -> dict[str, dict[str, str]]:
    """Key and stamp of every document that has one, by collection."""
    return {
        collection: {
            each["_key"]: each["updatedAt"] for each in leo.database.collection(collection).all() if "updatedAt" in each
        }
        for collection in _TABLES
    }


def _kill_everywhere(
    leo: Leo, work: Callable[[Leo], None], fresh: Callable[[], Leo], clean: dict[str, Any]
) -> set[str]:
    """Kill a sync after each of its writes, and each time run it again; returns what it was killed after."""
    source = _stamps(leo)
    exchanges = set()
    for point, killed in crashes.after_every_write(work, fresh):
        _check_that_nothing_was_skipped(killed, source, point)
        _run(killed)
        assert _state(killed) == clean, point
        exchanges.add(point.exchange)
    return exchanges


def test_a_first_load_that_is_killed_anywhere_goes_on_where_it_was(leo: Leo, new_leo: Callable[..., Leo], alone: Any):
    _fill(leo)
    numbers = itertools.count(1)
    _run(leo)
    killed_after = _kill_everywhere(
        leo, alone(_run), lambda: new_leo(f"tenant{next(numbers)}", database=leo.tenant.arango_database), _state(leo)
    )
    # The pipeline is that of the rejected documents.
    assert {"copy_end", "BasePipeline._exit_gen", "INSERT INTO ops.sync_watermark"} <= killed_after


@pytest.mark.usefixtures("shared")
def test_a_first_load_by_two_workers_that_is_killed_anywhere_goes_on_where_it_was(
    leo: Leo, new_leo: Callable[..., Leo], alone: Any, monkeypatch: pytest.MonkeyPatch
):
    _fill(leo)
    numbers = itertools.count(1)
    _run(leo)
    exchanges = set()

    def run(of: Leo) -> None:
        monkeypatch.setattr(sync_module, "_WORTH_A_SECOND", 1)
        of.sync("profiles", second_thread=True)

    for point, killed in crashes.after_every_write(
        alone(run), lambda: new_leo(f"tenant{next(numbers)}", database=leo.tenant.arango_database)
    ):
        _check_that_nothing_was_skipped(killed, _stamps(leo), point)
        _run(killed)
        assert _state(killed) == _state(leo), point
        exchanges.add(point.exchange)
    assert {"copy_end", "INSERT INTO ops.sync_watermark"} <= exchanges


def test_an_incremental_run_that_is_killed_anywhere_goes_on_where_it_was(
    leo: Leo, new_leo: Callable[..., Leo], alone: Any, copies: Callable[[Leo], Iterator[Leo]]
):
    _fill(leo)
    _run(leo)
    _change(leo)
    clean = new_leo("clean", database=leo.tenant.arango_database)
    _run(clean)
    prepared = copies(leo)
    killed_after = _kill_everywhere(leo, alone(_run), lambda: next(prepared), _state(clean))
    assert {"copy_end", "UPDATE ops.rejected_record SET resolved_at", "INSERT INTO ops.sync_watermark"} <= killed_after


def test_a_replay_that_is_killed_anywhere_goes_on_where_it_was(
    leo: Leo, alone: Any, copies: Callable[[Leo], Iterator[Leo]]
):
    _fill(leo)
    for key in ("b1", "b2", "b3", "b4"):
        leo.profile(key, **_days_ago(1), **_NO_LIST)
        leo.purchase(key, key, **_days_ago(1), **_NO_AMOUNT)
    _run(leo)
    # What a mended mapping would make of most of them.
    leo.rows(
        """
        UPDATE ops.rejected_record
        SET document = (document::jsonb || '{"inSegments": [], "transactionValue": 5}')::json
        WHERE document_key <> 'b2' RETURNING document_key
        """
    )
    prepared = copies(leo)
    untouched = next(prepared)
    _replay(untouched)
    expected = _state(untouched)
    assert [row["document_key"] for (row,) in expected["rejected"]] == ["b2", "b2"]
    points = 0
    for point, killed in crashes.after_every_write(alone(_replay), lambda: next(prepared)):
        _replay(killed)
        assert _state(killed) == expected, point
        points += 1
    assert points > 20
