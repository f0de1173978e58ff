"""What is past its time goes, in batches; nothing goes that is open, that waits or that something refers to."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

import cdp_platform
from cdp_platform.build import build_definitions
from cdp_platform.health.retention import kept
from cdp_platform.ops import retention, tenants
from cdp_platform.ops.retention import RetentionResult
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.command_line import answers, says
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.warehouse.test_isolation import any_row

NOW = datetime.now(UTC)
OLD, FRESH = NOW - timedelta(days=800), NOW - timedelta(hours=1)
EXPORTS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(6)]

# Searches of the room enrichment, which stay themselves.
SEARCHES = {
    name: f"00000000-0000-0000-0000-0000000000a{number}"
    for number, name in enumerate(["ended", "never paid", "enriching", "fresh", "unresolved"])
}
# Calls of these searches, by what the name says.
CALLS = {
    name: f"00000000-0000-0000-0000-0000000000c{number}"
    for number, name in enumerate(
        ["goes", "fresh", "unknown", "credits unknown", "answered", "delivered", "search open", "phones pending"]
    )
}
SETTLED: dict[str, Any] = {"search_id": SEARCHES["ended"], "state": "confirmed", "credits": 1, "settled_at": OLD}

# Marketing events, which stay themselves.
EVENTS: dict[str, dict[str, Any]] = {
    "ended": {"status": "done", "ended_at": OLD, "type": "message"},
    "running": {"status": "running", "type": "message"},
    "fresh": {"status": "done", "ended_at": FRESH, "type": "message"},
    "confirmation": {"status": "done", "ended_at": OLD, "type": "confirmation"},
    "unresolved": {"status": "done", "ended_at": OLD, "type": "message"},
}

# By table and the column that names the row, which is what stays and what goes: the rest of the row, old if not dated.
ROWS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("ops.rejected_record", "document_key"): {
        "waits": {},
        "goes": {"resolved_at": OLD},
        "goes too": {"resolved_at": OLD, "source": "catalog/shop"},
        "fresh": {"resolved_at": FRESH},
        "read once": {"read_once": True, "last_seen_at": OLD},
        "read once lately": {"read_once": True, "last_seen_at": FRESH},
    },
    ("ops.reconciliation", "source"): {
        "one": {"compared_at": OLD},
        "goes": {"compared_at": OLD},
        "again": {"compared_at": FRESH},
    },
    ("embeddings.usage", "model_id"): {"1": {"day": OLD}, "2": {"day": FRESH}},
    ("embeddings.spend", "account"): {"old": {"day": OLD}, "fresh": {"day": FRESH}},
    ("campaigns.delivery_outcome", "outcome_id"): {
        "goes": {"delivery_id": "goes", "kind": "bounced"},
        "kept": {"delivery_id": "kept", "kind": "bounced"},
        "confirmation": {"delivery_id": "confirmation", "kind": "delivered"},
        "unresolved": {"delivery_id": "unresolved", "kind": "delivered"},
    },
    ("campaigns.delivery_log", "delivery_id"): {
        "goes": {"event_id": "ended", "state": "confirmed"},
        "kept": {"event_id": "running", "state": "confirmed"},
        "fresh": {"event_id": "fresh", "state": "confirmed"},
        "unresolved": {"event_id": "unresolved", "state": "unknown"},
        # It goes to an address once for ever.
        "confirmation": {"event_id": "confirmation", "state": "confirmed"},
    },
    ("campaigns.segment_snapshot_member", "snapshot_id"): {name: {"decision": "included"} for name in EVENTS},
    ("campaigns.segment_snapshot", "snapshot_id"): {name: {"event_id": name} for name in EVENTS},
    ("referrals.sheet_export", "export_id"): {
        EXPORTS[0]: {"state": "confirmed"},
        EXPORTS[1]: {"state": "unchanged"},
        EXPORTS[2]: {"state": "unknown"},
        EXPORTS[3]: {"state": "confirmed", "worksheets": {"Tracker_Raw_Data": {}}},
        EXPORTS[4]: {"state": "unchanged", "worksheets": {}, "started_at": FRESH, "ended_at": FRESH},
    },
    ("enrichment.provider_call", "call_id"): {
        CALLS["goes"]: SETTLED,
        CALLS["fresh"]: {**SETTLED, "settled_at": FRESH},
        CALLS["unknown"]: {**SETTLED, "search_id": SEARCHES["unresolved"], "state": "unknown", "credits": None},
        CALLS["credits unknown"]: {**SETTLED, "credits": None},
        CALLS["answered"]: SETTLED,
        CALLS["delivered"]: SETTLED,
        CALLS["search open"]: {**SETTLED, "search_id": SEARCHES["enriching"]},
        CALLS["phones pending"]: {**SETTLED, "phones_state": "pending"},
    },
    ("enrichment.contact", "contact_id"): {
        name: {"search_id": search_id, "outcome": "unusable", "question": None, "question_hash": None}
        for name, search_id in SEARCHES.items()
    },
    ("enrichment.answer", "person_id"): {
        "goes": {"state": "match", "question_hash": "\\x01", "expires_at": OLD, "answered_at": OLD},
        "fresh": {"state": "match", "question_hash": "\\x02", "expires_at": FRESH, "answered_at": OLD},
        "asked": {"state": "asked", "question_hash": "\\x03", "expires_at": None, "answered_at": None, "fields": None},
        "refers": {
            "state": "match",
            "question_hash": "\\x04",
            "expires_at": FRESH,
            "answered_at": OLD,
            "call_id": CALLS["answered"],
        },
    },
    ("enrichment.phone_delivery", "call_id"): {
        CALLS["search open"]: {"received_at": OLD},
        CALLS["delivered"]: {"received_at": FRESH},
        CALLS["unknown"]: {"received_at": OLD},
        CALLS["credits unknown"]: {"received_at": OLD},
        CALLS["phones pending"]: {"received_at": OLD},
    },
    ("enrichment.payment_event", "event_id"): {
        **{name: {"search_id": found, "received_at": OLD, "outcome": "paid"} for name, found in SEARCHES.items()},
        "of nothing": {"search_id": None, "received_at": OLD, "outcome": "noted"},
        "of nothing, lately": {"search_id": None, "received_at": FRESH, "outcome": "noted"},
    },
    ("enrichment.spend", "account"): {"old": {"day": OLD}, "fresh": {"day": FRESH}},
}
GOES = {
    "ops.rejected_record": {"goes", "goes too", "read once"},
    "ops.reconciliation": {"goes"},
    "embeddings.usage": {"1"},
    "embeddings.spend": {"old"},
    # An event of the first is in a spreadsheet; nobody knows of the third; the fourth is the last with raw data.
    "referrals.sheet_export": {EXPORTS[1]},
    "campaigns.delivery_outcome": {"goes"},
    "campaigns.delivery_log": {"goes"},
    "campaigns.segment_snapshot_member": {"ended"},
    "campaigns.segment_snapshot": {"ended"},
    "enrichment.contact": {"ended", "never paid"},
    "enrichment.answer": {"goes"},
    "enrichment.phone_delivery": {CALLS["search open"]},
    "enrichment.provider_call": {CALLS["goes"]},
    "enrichment.payment_event": {"ended", "never paid", "of nothing"},
    "enrichment.spend": {"old"},
}


@pytest.fixture
def acme(app: psycopg.Connection, warehouse: Warehouse) -> psycopg.Connection:
    tenants.add(app, "acme", arango_database="acme")
    tenants.add(app, "other", arango_database="other")
    with warehouse.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        for (table, key), rows in ROWS.items():
            for name, values in rows.items():
                row = {key: name, **values}
                if table == "ops.reconciliation":
                    row["source"] = "cdp_profile" if name != "one" else "one"
                if table == "referrals.sheet_export":
                    row = {"started_at": OLD, "ended_at": OLD, "spreadsheet_id": "s", **row}
                plant(connection, table, row)
        for name, values in EVENTS.items():
            plant(connection, "campaigns.marketing_event", {"event_id": name, "grace": "1 hour", **values})
        for name, values in {
            "ended": {"status": "ready", "ended_at": OLD},
            "never paid": {"status": "preview", "status_changed_at": OLD, "ended_at": None},
            "enriching": {"status": "enriching", "status_changed_at": OLD, "ended_at": None},
            "fresh": {"status": "ready", "ended_at": FRESH},
            "unresolved": {"status": "ready", "ended_at": OLD},
        }.items():
            plant(connection, "enrichment.search", {"search_id": SEARCHES[name], "enriched": 7, "erased": 0, **values})
        plant(connection, "referrals.exported_event", {"export_id": EXPORTS[0], "spreadsheet_id": "s"})
        plant(connection, "ops.rejected_record", {"document_key": "goes", "resolved_at": OLD}, tenant_id="other")
    return app


def plant(connection: psycopg.Connection, table: str, values: dict[str, Any], *, tenant_id: str = "acme") -> None:
    given = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
    connection.execute(any_row(connection, table, given), {"table": table, "tenant": tenant_id})


def there(app: psycopg.Connection) -> dict[str, int]:
    with tenant_transaction(app, "acme"):
        return {table: app.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0] for table, _ in ROWS}


def left(app: psycopg.Connection) -> dict[str, set[str]]:
    """By table, the names of the rows."""
    with tenant_transaction(app, "acme"):
        return {
            table: {str(name) for (name,) in app.execute(f"SELECT {key} FROM {table}".encode()).fetchall()}
            for table, key in ROWS
            if table != "ops.reconciliation"
        }


def clean(app: psycopg.Connection, *, dry_run: bool = False, **options: Any) -> dict[str, RetentionResult]:
    return {result.table: result for result in retention.clean(app, "acme", kept(), dry_run=dry_run, **options)}


def test_what_is_open_waits_or_is_referred_to_stays(acme: psycopg.Connection):
    before = left(acme)
    clean(acme)
    assert left(acme) == {table: names - GOES[table] for table, names in before.items()}
    with tenant_transaction(acme, "acme"):
        rows = acme.execute("SELECT source, compared_at FROM ops.reconciliation ORDER BY 1").fetchall()
    assert rows == [("cdp_profile", FRESH), ("one", OLD)]


def test_a_search_keeps_its_counts_when_its_contacts_go(acme: psycopg.Connection):
    clean(acme)
    with tenant_transaction(acme, "acme"):
        found = acme.execute("SELECT DISTINCT enriched, erased FROM enrichment.search").fetchall()
    assert found == [(7, 0)]


def test_a_dry_run_counts_what_goes_and_deletes_nothing(acme: psycopg.Connection):
    before = there(acme)
    counted = {table: result.due for table, result in clean(acme, dry_run=True).items()}
    assert counted == {table: len(names) for table, names in GOES.items()}
    assert there(acme) == before
    assert {table: result.deleted for table, result in clean(acme).items()} == counted
    assert there(acme) == {table: number - counted[table] for table, number in before.items()}
    assert all(result.due == 0 for result in clean(acme).values())


def test_rows_go_in_batches_and_no_more_than_the_limit(acme: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    with tenant_transaction(acme, "acme"):
        acme.execute(
            "INSERT INTO ops.rejected_record"
            " (tenant_id, source, document_key, code, path, message, document, resolved_at)"
            " SELECT 'acme', 'many', n::text, '', '', '', '{}', %s FROM generate_series(1, 20) AS n",
            [OLD],
        )
    monkeypatch.setattr(retention, "BATCH_ROWS", 3)
    transactions: list[str] = []
    begin = retention.tenant_transaction
    monkeypatch.setattr(retention, "tenant_transaction", lambda *given: transactions.append(given[1]) or begin(*given))
    (result,) = retention.clean(acme, "acme", kept()[:1], dry_run=False, most=10)
    # One transaction counts, and four delete: three, three, three and one.
    assert (result.due, result.deleted, len(transactions)) == (23, 10, 1 + 4)
    assert clean(acme)["ops.rejected_record"].deleted == 13


def test_another_tenants_rows_stay_and_a_retired_tenants_go(acme: psycopg.Connection):
    clean(acme)
    with tenant_transaction(acme, "other"):
        assert acme.execute("SELECT count(*) FROM ops.rejected_record").fetchone() == (1,)
    tenants.retire(acme, "other")
    says("retention", "--apply")
    with tenant_transaction(acme, "other"):
        assert acme.execute("SELECT count(*) FROM ops.rejected_record").fetchone() == (0,)


def test_settings_say_how_long(acme: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    from cdp_platform import settings

    monkeypatch.setenv("REJECTED_RETENTION_DAYS", "900")
    settings.forget()
    assert clean(acme, dry_run=True)["ops.rejected_record"].due == 0
    monkeypatch.setenv("REJECTED_RETENTION_DAYS", "0")
    settings.forget()
    assert clean(acme, dry_run=True)["ops.rejected_record"].due == 5


def test_every_room_that_lists_what_it_keeps_is_asked():
    package = Path(cdp_platform.__file__).parent
    rooms = {path.parent.parent.name for path in package.glob("*/defs/definitions.py")}
    listing = {room for room in rooms if (package / room / "retention.py").is_file()}
    assert {each.table.split(".")[0] for each in kept()} == {*listing, "ops"}


def test_the_command_counts_unless_it_is_told_to_delete(acme: psycopg.Connection):
    before = there(acme)
    assert "`cdp retention --apply` deletes them" in says("retention")
    found = answers("retention")
    assert not found["applied"]
    assert {each["table"]: each["due"] for each in found["tenants"]["acme"]} == {t: len(n) for t, n in GOES.items()}
    assert there(acme) == before
    assert "ops.rejected_record" in says("retention", "--apply")
    assert says("retention").startswith("Nothing is past its time.")


def test_a_run_that_any_row_names_is_found(acme: psycopg.Connection, warehouse: Warehouse):
    """Also in tables that are made later, of tenants or not, whoever owns the row."""
    with warehouse.superuser() as connection:
        plant(connection, "ops.run_lease", {"run_id": "leased"})
        for table, column in (("ops.shared_note", "run_id"), ("ops.tenant_note", "last_run_id")):
            connection.execute(f"CREATE TABLE {table} (tenant_id text, {column} text)".encode())
            connection.execute(f"GRANT SELECT ON {table} TO cdp_platform".encode())
            connection.execute(f"INSERT INTO {table} VALUES ('other', '{table}'), ('acme', NULL)".encode())
        connection.execute("ALTER TABLE ops.shared_note DROP COLUMN tenant_id")
        connection.execute("ALTER TABLE ops.tenant_note ENABLE ROW LEVEL SECURITY")
        connection.execute(
            "CREATE POLICY own ON ops.tenant_note USING (tenant_id = current_setting('app.tenant_id', true))"
        )
    assert retention.named_runs(acme, ["acme", "other"]) == {"leased", "ops.shared_note", "ops.tenant_note"}
    assert retention.named_runs(acme, ["acme"]) == {"leased", "ops.shared_note"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_the_daily_job_deletes_and_shows_its_counts(acme: psycopg.Connection, instance: dg.DagsterInstance):
    definitions = build_definitions()
    assert definitions.resolve_schedule_def("retention_daily").job_name == "retention"
    result = definitions.resolve_job_def("retention").execute_in_process(instance=instance)
    assert result.success
    (output,) = [
        event
        for event in result.all_events
        if event.event_type_value == "STEP_OUTPUT" and event.step_key == "delete_old_records"
    ]
    metadata = output.step_output_data.metadata
    assert metadata["rows_deleted"].value == 1 + sum(map(len, GOES.values()))
    assert "| acme | referrals.sheet_export | 90 | 1 | 1 |" in str(metadata["deleted"].value)
    assert all(each.due == 0 for each in clean(acme, dry_run=True).values())
