"""A backup comes back whole, into a server that knew nothing of it, and nothing is done twice."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cdp_platform.backup.make import make
from cdp_platform.backup.restore import restore
from cdp_platform.backup.tools import Tell
from cdp_platform.customers import erasure_journal
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.migrate import current, head, migrate
from cdp_platform_tests.backup.steps import killed_at_each
from cdp_platform_tests.campaigns.sender import Sender
from cdp_platform_tests.command_line import answers, refusal
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings
from cdp_platform_tests.warehouse.test_isolation import any_row

_MOVES = "UPDATE campaigns.delivery_log SET {} WHERE profile_id = '{}'"


def test_a_person_erased_and_a_message_sent_since_stay_so(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    acme.event("spring")
    acme.event("now")
    acme.event("later", start_at=datetime.now(UTC) + timedelta(hours=12))
    acme.reserve([f"p{place:04}" for place in range(6)])
    acme.rows("UPDATE campaigns.marketing_event SET status = 'running' WHERE event_id = 'spring'")
    acme.rows(_MOVES.format("due_at = now() + interval '1 hour'", "p0001"))
    for state in ("handed_over", "confirmed"):
        acme.rows(_MOVES.format(f"state = '{state}', handed_over_at = now()", "p0002"))
    acme.rows(_MOVES.format("state = 'handed_over', handed_over_at = now()", "p0003"))
    made = answers("backup", "--to", str(tmp_path / "backup"))
    assert made["rows"] > 0
    # Since the backup a message is sent, and its person is erased.
    acme.rows(_MOVES.format("state = 'handed_over', handed_over_at = now()", "p0000"))
    answers("erase", "--tenant", "acme", "--profile", "p0005")

    restored = new_warehouse()
    done = answers("restore", "--from", str(tmp_path / "backup"))
    assert done["erased"] == 1
    assert done["unknown"] == {"campaigns.delivery_log": 3}
    assert done["events_paused"] == 2
    with connect(restored.settings) as connection:
        back = Sender(connection, tenants.get(connection, "acme"))
        people = back.rows("SELECT count(*) FROM customers.cdp_profiles")
        assert people == [(19,)]
        assert back.states() == {"unknown restored": 3, "reserved": 1, "confirmed": 1, "excluded erased": 1}
        assert back.rows(
            "SELECT count(*) FROM campaigns.delivery_log WHERE state = 'unknown' AND due_at IS NOT NULL"
        ) == [(0,)]
        assert {event: back.status(event) for event in ("spring", "now", "later")} == {
            "spring": "paused",
            "now": "paused",
            "later": "planned",
        }


def test_calls_exports_and_searches_that_may_have_been_done_are_unknown_or_held(
    acme: Sender, warehouse: Warehouse, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    search = "00000000-0000-4000-8000-000000000000"
    with warehouse.superuser() as connection:
        # Without triggers: a search begins as new.
        connection.execute("SET session_replication_role = replica")
        for table, values in (
            ("enrichment.search", {"search_id": search, "status": "paid"}),
            ("enrichment.provider_call", {"search_id": search, "state": "reserved", "phones_state": "none"}),
            ("enrichment.provider_call", {"search_id": search, "state": "confirmed", "phones_state": "none"}),
            ("referrals.sheet_export", {"state": "handed_over"}),
            ("referrals.sheet_export", {"state": "confirmed"}),
        ):
            connection.execute(any_row(connection, table, values), {"table": table, "tenant": "acme"})
    answers("backup", "--to", str(tmp_path / "backup"))
    restored = new_warehouse()
    done = answers("restore", "--from", str(tmp_path / "backup"))
    assert done["unknown"] == {"enrichment.provider_call": 1, "referrals.sheet_export": 1}
    assert done["searches_held"] == 1
    with connect(restored.settings) as connection:
        back = Sender(connection, acme.tenant)
        for table in ("enrichment.provider_call", "referrals.sheet_export"):
            states = back.rows(f"SELECT state::text FROM {table} ORDER BY 1")
            assert states == [("confirmed",), ("unknown",)]
        assert back.rows("SELECT status FROM enrichment.search") == [("failed",)]


def test_a_database_that_has_something_or_is_in_use_is_left_alone(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    answers("backup", "--to", str(tmp_path / "backup"))
    restored = new_warehouse()
    with restored.superuser() as busy:
        assert "is in use by postgres" in refusal("restore", "--from", str(tmp_path / "backup"))
        busy.execute("CREATE TABLE public.mine (id int)")
    assert "is not empty: it has relation public.mine" in refusal("restore", "--from", str(tmp_path / "backup"))
    with restored.superuser() as administrator:
        administrator.execute("DROP TABLE public.mine")
    answers("restore", "--from", str(tmp_path / "backup"))
    assert "is not empty: it has" in refusal("restore", "--from", str(tmp_path / "backup"))
    with connect(restored.settings):
        pass


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "manifest.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda found: found["warehouse"]["tables"]["customers.cdp_profiles"]["acme"].update(rows=21),
            "customers.cdp_profiles of tenant acme had 21 rows and has 20",
        ),
        (
            lambda found: found["warehouse"]["tables"]["customers.cdp_profiles"]["acme"].update(checksum="1"),
            "customers.cdp_profiles of tenant acme had 20 rows and has 20, or their content differs",
        ),
        (
            lambda found: found["warehouse"]["security"].append("ops.tenant: policy of old"),
            "was not restored: ops.tenant: policy of old",
        ),
        (
            lambda found: found["warehouse"]["security"].remove("ops.tenant: row-level security enabled, forced"),
            "is new: ops.tenant: row-level security enabled, forced",
        ),
        (lambda found: found["warehouse"]["sequences"].update(other=7), "the sequence other was at 7 and is at 0"),
    ],
    ids=["rows", "content", "policy lost", "security changed", "sequence"],
)
def test_what_is_not_as_it_was_keeps_the_database_closed(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path, change: Any, words: str
):
    answers("backup", "--to", str(tmp_path / "backup"))
    change_manifest(tmp_path / "backup", change)
    restored = new_warehouse()
    assert words in refusal("restore", "--from", str(tmp_path / "backup"))
    with pytest.raises(ConfigurationError, match="restore was cut off"), connect(restored.settings):
        pass


def test_an_older_program_and_an_older_server_refuse_before_anything(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    answers("backup", "--to", str(tmp_path / "backup"))
    new_warehouse()
    change_manifest(tmp_path / "backup", lambda found: found["warehouse"].update(server=99))
    assert "The backup is of PostgreSQL 99, and this server is of 18" in refusal(
        "restore", "--from", str(tmp_path / "backup")
    )
    change_manifest(tmp_path / "backup", lambda found: found.update(revision="9999"))
    assert "does not know" in refusal("restore", "--from", str(tmp_path / "backup"))


def test_an_older_schema_is_migrated_after_it_was_compared(
    server: Server, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    old = postgres_settings(server, server.new_database("test_owner"))
    migrate(old, revision="0029")
    with connect(old) as connection:
        tenants.add(connection, "acme", arango_database="")
    make(old, tmp_path / "backup", dagster=None, tell=print)
    restored = new_warehouse()
    assert answers("restore", "--from", str(tmp_path / "backup"))["revision"] == head()
    with connect(restored.settings) as connection:
        assert current(connection) == head()
        assert [each.tenant_id for each in tenants.registered(connection)] == ["acme"]


def test_a_restore_that_was_killed_anywhere_lets_nobody_in_and_begins_anew_in_a_new_database(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path
):
    answers("backup", "--to", str(tmp_path / "backup"))
    restored = new_warehouse()
    journal = erasure_journal.configured()

    def work(tell: Tell) -> None:
        restore(restored.settings, tmp_path / "backup", dagster=None, journal=journal, end_runs=lambda: 0, tell=tell)

    killed = []
    for line in killed_at_each(work):
        killed.append(line)
        # Before the mark nothing was changed.
        if not line.startswith("The backup of"):
            with pytest.raises(ConfigurationError, match=r"restore was cut off"), connect(restored.settings):
                pass
            assert "was cut off. Make the database anew" in refusal("restore", "--from", str(tmp_path / "backup"))
        restored = new_warehouse()
    assert len(killed) >= 6
    with connect(restored.settings) as connection:
        assert len(tenants.registered(connection)) == 2


def test_without_the_journal_of_erasures_a_person_has_to_answer_for_them(
    acme: Sender, new_warehouse: Callable[[], Warehouse], tmp_path: Path, journal: Path
):
    answers("backup", "--to", str(tmp_path / "backup"))
    restored = new_warehouse()
    journal.write_text("half a li")
    assert "1 lines of" in refusal("restore", "--from", str(tmp_path / "backup"))
    with pytest.raises(ConfigurationError, match=r"restore was cut off"), connect(restored.settings):
        pass
    new_warehouse()
    journal.unlink()
    assert "There is no journal of erasures" in refusal("restore", "--from", str(tmp_path / "backup"))
    assert answers("restore", "--from", str(tmp_path / "backup"), "--no-erasures")["erased"] == 0


def test_runs_of_dagster_keep_their_history_and_open_ones_end(
    acme: Sender,
    dagster_home: Callable[..., str],
    fresh_server: Server,
    new_warehouse: Callable[[], Warehouse],
    tmp_path: Path,
):
    @dg.asset
    def made() -> None:
        pass

    dagster_home()
    with dg.DagsterInstance.get() as instance:
        assert dg.materialize([made], instance=instance).success
        open_run = instance.create_run_for_job(
            dg.define_asset_job("later", [made]).resolve(asset_graph=dg.Definitions([made]).resolve_asset_graph())
        )
    assert answers("backup", "--to", str(tmp_path / "backup"))["dagster"]
    new_warehouse()
    dagster_home(fresh_server)
    assert answers("restore", "--from", str(tmp_path / "backup"))["runs_ended"] == 1
    with dg.DagsterInstance.get() as instance:
        assert instance.get_latest_materialization_event(made.key) is not None
        found = instance.get_run_by_id(open_run.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.CANCELED
