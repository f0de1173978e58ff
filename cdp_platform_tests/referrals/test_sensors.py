"""What the sensor and the schedule of the room ask for, tick by tick on a real instance."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.in_process import run_job
from cdp_platform.referrals import metrics
from cdp_platform.referrals.defs import sensors
from cdp_platform.referrals.spreadsheets import spreadsheet_of
from cdp_platform.tenant_settings import checked
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.referrals.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

Asked = list[tuple[str | None, str, str]]
NEW_TENANT = Callable[..., Tracker]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    # A schedule needs an instance that it can reopen, which an ephemeral one cannot be.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@pytest.fixture
def new_tenant(app: psycopg.Connection) -> NEW_TENANT:
    def make(tenant_id: str, **given: Any) -> Tracker:
        tenants.add(app, tenant_id, arango_database=tenant_id, settings=checked(tenant_id, given))
        made = Tracker(app, tenants.get(app, tenant_id))
        made.begin()
        return made

    return make


@pytest.fixture
def tick(app: psycopg.Connection, instance: dg.DagsterInstance) -> Callable[[], Asked]:
    """One tick of the sensor; returns the requested jobs with the ends of their ranges."""
    cursor: list[str | None] = [None]

    def go() -> Asked:
        partitions.keep_in_step(instance, tenants.registered(app))
        resources = build_definitions().resources or {}
        used = {name: resources[name] for name in ("warehouse", "tracker")}
        with dg.build_sensor_context(instance=instance, cursor=cursor[0], resources=used) as context:
            result = sensors.referral_events(context)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        return [(run.job_name, *ends(run)) for run in result.run_requests or []]

    return go


def ends(run: dg.RunRequest) -> tuple[str, str]:
    first, last = sorted(value for name, value in run.tags.items() if "partition_range" in name)
    assert run.tags == partitions.range_tags([first, last])
    return first, last


def count(tracker: Tracker) -> None:
    with tenant_transaction(tracker.connection, tracker.tenant.tenant_id):
        metrics.count_touched(tracker.connection, tracker.tenant)


def test_months_that_events_touched_are_counted_once(new_tenant: NEW_TENANT, tick: Callable[[], Asked]):
    acme = new_tenant("acme")
    assert tick() == []
    acme.click(at=datetime(2026, 3, 5, tzinfo=UTC))
    acme.click(at=datetime(2026, 5, 5, tzinfo=UTC))
    assert tick() == [
        ("referrals_metrics", "2026-03-01|acme", "2026-03-01|acme"),
        ("referrals_metrics", "2026-05-01|acme", "2026-05-01|acme"),
    ]
    count(acme)
    assert tick() == []


def test_an_event_is_in_the_month_of_its_tenants_time_zone(new_tenant: NEW_TENANT, tick: Callable[[], Asked]):
    saigon = new_tenant("saigon", time_zone="Asia/Ho_Chi_Minh")
    saigon.click(at=datetime(2026, 3, 31, 18, tzinfo=UTC))
    assert tick() == [("referrals_metrics", "2026-04-01|saigon", "2026-04-01|saigon")]


def test_what_is_older_than_the_first_month_is_counted_by_it(
    new_tenant: NEW_TENANT, tick: Callable[[], Asked], instance: dg.DagsterInstance
):
    acme = new_tenant("acme")
    acme.click(at=datetime(1999, 12, 31, tzinfo=UTC))
    assert tick() == [("referrals_metrics", "2020-01-01|acme", "2020-01-01|acme")]
    done = run_job(build_definitions(), "referrals_metrics", instance, ["2020-01-01|acme"])
    assert done.success, done.errors
    assert acme.rows("SELECT metric_date FROM referrals.daily_metrics") == [(date(1999, 12, 31),)]
    assert tick() == []


def test_many_tenants_with_late_events_cost_ten_runs_at_most(new_tenant: NEW_TENANT, tick: Callable[[], Asked]):
    for number in range(12):
        tracker = new_tenant(f"t{number:02}")
        if number % 2:
            continue
        for month in (1, 3, 5):
            tracker.click(at=datetime(2026, month, 5, tzinfo=UTC))
    asked = tick()
    assert 1 <= len(asked) <= 10
    covered = {
        f"{month}|t{number:02}"
        for _, first, last in asked
        for month in ("2026-01-01", "2026-03-01", "2026-05-01")
        for number in range(12)
        if first.split("|")[0] <= month <= last.split("|")[0]
        and first.split("|")[1] <= f"t{number:02}" <= last.split("|")[1]
    }
    assert {f"{m}|t{n:02}" for m in ("2026-01-01", "2026-03-01", "2026-05-01") for n in range(0, 12, 2)} <= covered


def test_a_range_of_months_and_tenants_counts_each_for_itself(
    new_tenant: NEW_TENANT, tick: Callable[[], Asked], instance: dg.DagsterInstance
):
    trackers = [new_tenant("a"), new_tenant("b")]
    for tracker in trackers:
        for month in (3, 4):
            tracker.click(at=datetime(2026, month, 5, tzinfo=UTC))
    tick()
    done = run_job(build_definitions(), "referrals_metrics", instance, ["2026-03-01|a", "2026-04-01|b"])
    assert done.success, done.errors
    found = {made.partition: made.metadata["clicks"] for made in done.outcomes}
    assert found == {"2026-03-01|a": 1, "2026-03-01|b": 1, "2026-04-01|a": 1, "2026-04-01|b": 1}
    assert all(check.passed for check in done.checks)
    assert tick() == []


def test_new_events_of_a_tenant_with_a_spreadsheet_are_exported(new_tenant: NEW_TENANT, tick: Callable[[], Asked]):
    for tenant_id, given in (("a", {}), ("b", {"google_sheet_id": "b-sheet"}), ("c", {"google_sheet_id": "c-sheet"})):
        tracker = new_tenant(tenant_id, **given)
        tracker.click()
        count(tracker)
    assert tick() == [("referrals_raw", "b", "c")]


def test_events_to_bring_and_months_to_count_cost_three_runs_at_most(
    new_tenant: NEW_TENANT, tick: Callable[[], Asked], instance: dg.DagsterInstance
):
    for number in range(9):
        tracker = new_tenant(f"t{number}", **({} if number % 2 else {"google_sheet_id": f"sheet-{number}"}))
        if number % 2 == 0:
            tracker.click(at=datetime(2026, 3, 5, tzinfo=UTC))
    asked = tick()
    assert [job for job, *_ in asked] == ["referrals_raw", "referrals_raw", "referrals_metrics"]
    assert asked[-1] == ("referrals_metrics", "2026-03-01|t0", "2026-03-01|t8")
    for job, *_ in asked:
        instance.create_run_for_job(
            build_definitions().resolve_job_def(str(job)),
            tags={"dagster/sensor_name": "referral_events"},
            status=dg.DagsterRunStatus.STARTED,
        )
    assert tick() == []


def schedule(app: psycopg.Connection, instance: dg.DagsterInstance, at: datetime) -> list[tuple[str | None, str, str]]:
    partitions.keep_in_step(instance, tenants.registered(app))
    warehouse = (build_definitions().resources or {})["warehouse"]
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at, resources={"warehouse": warehouse}
    ) as context:
        result = sensors.referrals_every_morning(context)
    return [(run.run_key, *ends(run)) for run in result] if isinstance(result, list) else []


def test_each_tenant_has_its_own_morning_and_one_run_a_day(
    new_tenant: NEW_TENANT, app: psycopg.Connection, instance: dg.DagsterInstance
):
    new_tenant("berlin", time_zone="Europe/Berlin", google_sheet_id="b")
    new_tenant("none")
    new_tenant("saigon", time_zone="Asia/Ho_Chi_Minh", google_sheet_id="s")
    evening = datetime(2026, 3, 5, 18, 0, tzinfo=UTC)
    assert schedule(app, instance, evening - timedelta(minutes=15)) == [
        ("referrals-2026-03-05-berlin-berlin", "berlin", "berlin"),
        ("referrals-2026-03-05-saigon-saigon", "saigon", "saigon"),
    ]
    # 01:00 of the sixth in Saigon.
    at_one = schedule(app, instance, evening)
    assert at_one == [
        ("referrals-2026-03-05-berlin-berlin", "berlin", "berlin"),
        ("referrals-2026-03-06-saigon-saigon", "saigon", "saigon"),
    ]
    # None for a run that was requested before, until the next morning.
    for key, *_ in at_one:
        job = build_definitions().resolve_job_def("referrals_worksheets")
        instance.create_run_for_job(job, tags={"dagster/run_key": str(key)}, status=dg.DagsterRunStatus.FAILURE)
    assert schedule(app, instance, evening + timedelta(hours=5, minutes=45)) == []
    assert schedule(app, instance, evening + timedelta(hours=6)) == [
        ("referrals-2026-03-06-berlin-berlin", "berlin", "berlin")
    ]


@pytest.mark.parametrize(
    ("zone", "before"),
    [
        ("UTC", datetime(2026, 3, 5, 0, 45, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 3, 4, 19, 0, tzinfo=UTC)),
        # 01:00 comes twice: the first one counts.
        ("America/New_York", datetime(2026, 11, 1, 4, 45, tzinfo=UTC)),
        # 01:00 is skipped: clocks go from 00:59 to 02:00.
        ("Europe/London", datetime(2026, 3, 29, 0, 45, tzinfo=UTC)),
    ],
)
def test_the_morning_begins_at_one_also_when_clocks_change(zone: str, before: datetime):
    tenant = Tenant("t", "T", "active", "t", {"time_zone": zone})
    day = sensors.last_morning(tenant, before + timedelta(minutes=15))
    assert sensors.last_morning(tenant, before) == day - timedelta(days=1)
    assert sensors.last_morning(tenant, before + timedelta(hours=20)) == day


def test_two_tenants_are_never_given_one_spreadsheet(new_tenant: NEW_TENANT, app: psycopg.Connection):
    one, own = new_tenant("one").tenant, new_tenant("own", google_sheet_id="own-sheet").tenant
    everybody = tenants.registered(app)
    assert spreadsheet_of(one, everybody, "") is None
    assert spreadsheet_of(one, everybody, "default") == "default"
    assert spreadsheet_of(own, everybody, "default") == "own-sheet"
    new_tenant("other")
    everybody = tenants.registered(app)
    with pytest.raises(ConfigurationError, match="Tenants one and other would write the same worksheets"):
        spreadsheet_of(one, everybody, "default")
    assert spreadsheet_of(own, everybody, "default") == "own-sheet"
    tenants.retire(app, "other")
    assert spreadsheet_of(one, tenants.registered(app), "default") == "default"


@pytest.mark.usefixtures("app")
def test_settings_say_which_variable_is_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_SHEETS_URL", "sheets")
    settings.forget()
    with pytest.raises(ConfigurationError, match="GOOGLE_SHEETS_URL"):
        settings.google()
