"""A tenant without an ArangoDB database has no customers to read, and holds up nobody who has."""

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.cli import cdp
from cdp_platform.customers.defs import sensors
from cdp_platform.errors import ConfigurationError
from cdp_platform.health.findings import examine
from cdp_platform.health.status import read
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.dagster_runs import figures
from cdp_platform_tests.leo import with_customers

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")


@pytest.fixture
def feeds_only(app: psycopg.Connection) -> str:
    """A tenant whose place is between two others."""
    tenants.add(app, "b_feeds", arango_database="")
    return "b_feeds"


def test_the_sensor_does_not_look_for_it(new_leo, feeds_only: str, app, instance: dg.DagsterInstance):
    with_customers(new_leo("a"))
    partitions.keep_in_step(instance, tenants.registered(app))
    resources = build_definitions().resources or {}
    used = {name: resources[name] for name in ("warehouse", "arango")}
    with dg.build_sensor_context(instance=instance, resources=used) as context:
        result = sensors.arango_changes(context)
    assert isinstance(result, dg.SensorResult)
    assert {event.partition for event in result.asset_events} == {"a"}
    assert [dict(request.tags) for request in result.run_requests or []] == [partitions.range_tags(["a"])]


def test_a_run_that_spans_it_reads_the_others_and_says_why_not_it(new_leo, feeds_only: str, run):
    for name in ("a", "c"):
        with_customers(new_leo(name))
    outcome = run("a", feeds_only, "c")
    assert outcome.success, outcome.errors
    found = figures(outcome, "new", "skipped")
    assert found["cdp_profiles", "a"] == found["cdp_profiles", "c"] == (2, None)
    assert found["cdp_profiles", feeds_only] == (None, "the tenant has no ArangoDB database")


def test_it_is_never_stale(feeds_only: str, instance: dg.DagsterInstance):
    result = build_definitions().resolve_job_def("customers_staleness").execute_in_process(instance=instance)
    assert all(each.passed for each in result.get_asset_check_evaluations())


def test_status_says_so_and_health_leaves_it_out(new_leo, feeds_only: str):
    shown = CliRunner().invoke(cdp, ["status"]).output
    assert "No active tenant has an ArangoDB database" in shown
    new_leo("a")
    assert {(each.tenant_id, each.source) for each in read()} >= {("a", "cdp_profile"), (feeds_only, None)}
    shown = CliRunner().invoke(cdp, ["status"]).output
    assert f"{feeds_only} has no ArangoDB database, so no customers are read for it." in " ".join(shown.split())
    assert "a has no ArangoDB" not in shown
    systems = [finding.system for finding in examine()]
    assert "ArangoDB" in systems
    assert not [system for system in systems if feeds_only in system]


@pytest.mark.usefixtures("warehouse")
def test_without_any_database_health_does_not_look_for_arangodb(feeds_only: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ARANGO_DB", raising=False)
    settings.forget()
    assert not [finding.system for finding in examine() if finding.system.startswith("ArangoDB")]


def test_a_sync_says_what_to_do(feeds_only: str):
    for command in ("sync", "reconcile"):
        done = CliRunner().invoke(cdp, [command, "--tenant", feeds_only])
        assert isinstance(done.exception, ConfigurationError)
        assert "has no ArangoDB database" in str(done.exception)
        assert "--database NAME" in str(done.exception)


@pytest.mark.usefixtures("app")
def test_the_command_line_makes_one_and_lists_it(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert CliRunner().invoke(cdp, ["tenant", "add", "feeds", "--no-database"]).exit_code == 0
    assert "none" in CliRunner().invoke(cdp, ["tenant", "list"]).output
    both = CliRunner().invoke(cdp, ["tenant", "add", "feeds", "--no-database", "--database", "leo"])
    assert both.exit_code == 2


def test_nothing_of_it_is_replayed_and_a_stranger_is_still_asked_about(feeds_only: str):
    done = CliRunner().invoke(cdp, ["rejected", "replay", "--tenant", feeds_only])
    assert done.exit_code == 0, done.output
    asked = CliRunner().invoke(cdp, ["erase", "--tenant", feeds_only, "--profile", "p1"])
    assert "p1 of b_feeds: not here" in str(asked.exception)
