"""The assets of the room on a real instance, and the command: one tenant, ranges of tenants, failures."""

import json
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner

from cdp_platform import settings
from cdp_platform.cli import cdp
from cdp_platform.ops import tenants
from cdp_platform.orchestration.in_process import RunResult
from cdp_platform.referrals.defs.resources import TrackerResource
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.referrals.tracker_database import TrackerDatabase, open_tracker
from cdp_platform.referrals.worksheets import COLUMNS, OFFICER_SUMMARY, RAW_DATA
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.dagster_runs import Run
from cdp_platform_tests.referrals.exporter import Exporter
from cdp_platform_tests.referrals.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

WORKSHEETS = {name.lower() for name in COLUMNS}


@pytest.fixture
def google(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    """The environment names the stand-in, and the tenant acme has a spreadsheet there."""
    chosen = exporter.stub.settings()
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_JSON", chosen.google_service_account_json.get_secret_value())
    monkeypatch.setenv("GOOGLE_SHEETS_URL", chosen.google_sheets_url)
    settings.forget()
    tenants.add(exporter.connection, "acme", settings=goes_to(exporter.stub.spreadsheet_id))
    return exporter


def goes_to(spreadsheet_id: str) -> list[ReferralSettings]:
    return [ReferralSettings(google_sheet_id=spreadsheet_id)]


def figures(outcome: RunResult, tenant_id: str) -> dict[str, dict[str, Any]]:
    return {made.asset: made.metadata for made in outcome.outcomes if made.partition == tenant_id}


def test_four_worksheets_are_materialized_with_what_was_written(google: Exporter, run: Run):
    google.tracker.click()
    google.tracker.signup()
    done = run("acme")
    assert done.success, done.errors
    found = figures(done, "acme")
    assert set(found) == WORKSHEETS | {"tracker_events"}
    raw = found["tracker_raw_data"]
    assert (raw["dagster/partition_row_count"], raw["added"], raw["written"]) == (2, 2, True)
    assert raw["spreadsheet"] == google.spreadsheet.url
    assert len({found[name]["export_id"] for name in WORKSHEETS}) == 1
    assert found["tracker_events"]["click_event"] == 1
    assert all(check.passed for check in done.checks)
    again = figures(run("acme"), "acme")
    assert {again[name]["written"] for name in WORKSHEETS} == {False}
    assert {again[name]["write_requests"] for name in WORKSHEETS} == {0}


def test_one_worksheet_can_be_written_alone(google: Exporter, run: Run):
    google.tracker.click()
    done = run("acme", assets=[dg.AssetKey(["referrals", "officer_summary"])])
    assert set(figures(done, "acme")) == {"officer_summary"}
    assert set(google.contents()) & set(COLUMNS) == {OFFICER_SUMMARY}


def test_one_tenants_trouble_is_its_own(google: Exporter, run: Run, app: psycopg.Connection):
    google.tracker.click()
    tenants.add(app, "bare", arango_database="bare")
    tenants.add(
        app,
        "closed",
        arango_database="closed",
        settings=goes_to(google.stub.new_spreadsheet()),
    )
    done = run("acme", "bare", "closed")
    assert not done.success
    assert "Share the spreadsheet" in done.errors[0]
    assert "acme" not in done.errors[0]
    assert len(google.rows(RAW_DATA)) == 2


def test_a_tenant_without_a_spreadsheet_is_skipped_and_told_how_to_have_one(run: Run, tracker: Tracker):
    done = run("acme")
    assert done.success, done.errors
    assert "--google-sheet-id" in figures(done, "acme")["officer_summary"]["skipped"]


def test_two_tenants_with_one_spreadsheet_write_nothing(google: Exporter, run: Run, app: psycopg.Connection):
    tenants.add(app, "other", arango_database="other", settings=goes_to(google.stub.spreadsheet_id))
    done = run("acme", "other")
    assert "would write the same worksheets" in done.errors[0]
    assert not set(google.contents()) & set(COLUMNS)


def test_an_export_that_failed_is_told_by_its_check_until_the_next(google: Exporter, run: Run):
    google.tracker.click()
    google.stub.spoil(":batchUpdate", "status", status=400, times=None)
    assert not run("acme").success
    assert google.stub.fired()[0] > 0
    outcome = google.tracker.rows("SELECT state, reason FROM referrals.sheet_export")
    assert outcome[0][0] == "failed"
    google.stub.sandbox.clear()
    done = run("acme")
    assert done.success, done.errors
    assert {check.passed for check in done.checks if check.check.endswith("delivered")} == {True}


@pytest.mark.parametrize("replaced", [False, True], ids=["environment", "resource"])
def test_the_trackers_own_database_is_read_and_exported_in_one_run(
    google: Exporter, run: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, replaced: bool
):
    # Five tables of another database, read by a role without row-level security.
    other = warehouse.server.new_database("test_owner")
    with warehouse.server.superuser(other) as there:
        there.execute("CREATE SCHEMA referrals")
        for table, rest in {
            "officer": "officer_id text, full_name text, is_active boolean DEFAULT true",
            "campaign": "campaign_id text, name text, description text, starts_at timestamptz, ends_at timestamptz,"
            " is_active boolean DEFAULT true",
            "referral_link": "referral_link_id text, officer_id text, campaign_id text, full_link text, ref_code text,"
            " is_active boolean DEFAULT true, revoke_at timestamptz",
            "click_event": "click_event_id text, referral_link_id text, occurred_at timestamptz, ip text,"
            " user_agent text, geo_country text, geo_city text, geo_region text, fraud_score float8",
            "signup_event": "signup_event_id text, click_event_id text, referral_link_id text, occurred_at timestamptz,"
            " conversion_minutes int, email text, fraud_score float8",
        }.items():
            there.execute(
                f"CREATE TABLE referrals.{table} (tenant_id text, {rest}, ingested_at timestamptz DEFAULT now())"
            )
        for statement in (
            "officer (tenant_id, officer_id, full_name) VALUES ('acme', 'far', 'Far Away')",
            "campaign (tenant_id, campaign_id, name, starts_at) VALUES ('acme', 'c', 'Autumn', now())",
            "referral_link (tenant_id, referral_link_id, officer_id, campaign_id, full_link, ref_code)"
            " VALUES ('acme', 'l', 'far', 'c', 'https://example.com', 'x')",
            "click_event (tenant_id, click_event_id, referral_link_id, occurred_at) VALUES ('acme', 'k', 'l', now())",
        ):
            there.execute(f"INSERT INTO referrals.{statement}")
    url = f"postgresql://postgres:test-only@127.0.0.1:{warehouse.server.port}/{other}"

    class Replacement(TrackerResource):
        @property
        def is_set(self) -> bool:
            return True

        def open(self) -> AbstractContextManager[TrackerDatabase]:
            return open_tracker(url)

    resources = {"tracker": Replacement()} if replaced else None
    if not replaced:
        monkeypatch.setenv("REFERRAL_DATABASE_URL", url)
        settings.forget()
    done = run("acme", resources=resources)
    assert done.success, done.errors
    pulled = figures(done, "acme")["tracker_events"]
    assert (pulled["new"], pulled["changed"], pulled["rejected"]) == (4, 0, 0)
    assert ["far", "Far Away", 1, 0, 0] in google.rows(OFFICER_SUMMARY)
    assert figures(run("acme", resources=resources), "acme")["tracker_events"]["new"] == 0


def counted_months(instance: dg.DagsterInstance) -> list[tuple[str | None, Any]]:
    """All materializations of the daily metrics, the latest first: partition and number of changed days."""
    records = instance.fetch_materializations(dg.AssetKey(["referrals", "daily_metrics"]), limit=100).records
    found = [record.asset_materialization for record in records]
    return [(each.partition, each.metadata["changed_days"].value) for each in found if each]


def test_an_export_that_counts_days_says_so_of_the_daily_metrics(
    google: Exporter, run: Run, instance: dg.DagsterInstance
):
    for day in (5, 6):
        google.tracker.click(at=datetime(2026, 3, day, tzinfo=UTC))
    google.tracker.click(at=datetime(1999, 12, 31, tzinfo=UTC))
    assert run("acme").success
    assert counted_months(instance) == [("2026-03-01|acme", 2), ("2020-01-01|acme", 1)]
    # Nothing changed: no event.
    assert run("acme").success
    assert len(counted_months(instance)) == 2
    # The days stay counted although the export fails.
    google.tracker.click(at=datetime(2026, 4, 5, tzinfo=UTC))
    google.stub.spoil(":batchUpdate", "status", status=400, times=None)
    assert not run("acme").success
    assert google.stub.fired()[0] > 0
    assert counted_months(instance)[0] == ("2026-04-01|acme", 1)
    google.stub.sandbox.clear()


def cli(*arguments: str) -> Any:
    return CliRunner().invoke(cdp, ["export-data", *arguments], catch_exceptions=False)


def test_a_dry_run_shows_the_difference_and_writes_nothing_anywhere(google: Exporter):
    google.tracker.click()
    google.arrived()
    shown = cli("--tenant", "acme", "--dry-run")
    assert shown.exit_code == 0
    assert "Tracker_Raw_Data" in shown.output
    assert "+ acme Officer_Summary: officer-1 | Lan Nguyen | 1 | 0 | 0" in shown.output
    assert not [call for call in google.arrived() if not call.startswith("GET")]
    assert google.ledger() == []
    assert google.tracker.rows("SELECT count(*) FROM referrals.daily_metrics") == [(0,)]
    told = json.loads(cli("--tenant", "acme", "--type", "daily", "--dry-run", "--json").stdout)
    assert set(told["acme"]["worksheets"]) == set(COLUMNS) - {RAW_DATA}


@pytest.mark.parametrize(
    ("what", "titles"),
    [("all", set(COLUMNS)), ("raw", {RAW_DATA}), ("daily", set(COLUMNS) - {RAW_DATA}), ("metrics", set())],
)
def test_each_type_writes_what_it_says(google: Exporter, what: str, titles: set[str]):
    google.tracker.click(at=datetime(2026, 3, 5, tzinfo=UTC))
    done = cli("--tenant", "acme", "--type", what)
    assert done.exit_code == 0, done.output
    assert set(google.contents()) & set(COLUMNS) == titles
    # Every export counts touched days, also one of raw data only.
    assert google.tracker.rows("SELECT count(*) FROM referrals.daily_metrics") == [(1,)]


@pytest.mark.usefixtures("tracker")
def test_a_tenant_without_a_spreadsheet_is_told_what_to_do():
    with pytest.raises(Exception, match="it has no spreadsheet: `cdp tenant add acme --google-sheet-id ID`"):
        cli("--tenant", "acme")
