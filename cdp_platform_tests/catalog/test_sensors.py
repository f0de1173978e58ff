"""What the sensor and the schedules of the room ask for, tick by tick on a real instance."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cdp_platform import settings
from cdp_platform.build import build_definitions
from cdp_platform.catalog import changes, rounds
from cdp_platform.catalog.defs import round_checks, sensors
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions, watch
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform_tests.catalog.conftest import Mall, product, shard
from cdp_platform_tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

Tick = Callable[[], list[str]]


@pytest.fixture
def tick(mall: Mall) -> Tick:
    """One tick of the sensor; answers whom a run is asked for."""
    cursor: list[str | None] = [None]

    def go() -> list[str]:
        definitions = build_definitions()
        resources = {name: (definitions.resources or {})[name] for name in ("warehouse", "feeds")}
        with dg.build_sensor_context(instance=mall.instance, cursor=cursor[0], resources=resources) as context:
            result = definitions.get_repository_def().get_sensor_def("feed_changes")(context)
        if isinstance(result, dg.SkipReason):
            return []
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        for event in result.asset_events:
            mall.instance.report_runless_asset_event(event)
        return [asked_for(request) for request in result.run_requests or []]

    return go


def asked_for(request: dg.RunRequest) -> str:
    """The ingestor of a run, or the first and the last of several."""
    return request.partition_key or "...".join(
        request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")
    )


def taken(mall: Mall, *names: str) -> None:
    outcome = mall.run(*names)
    assert outcome.success, outcome.errors


def test_what_is_new_is_asked_for_once_and_what_is_unchanged_never(mall: Mall, tick: Tick):
    assert tick() == []
    mall.shop("a")
    mall.shop("b")
    assert tick() == ["a", "b"]
    assert tick() == []
    taken(mall, "a", "b")
    assert tick() == []


def test_what_the_publisher_changed_is_reported_of_its_own_ingestor(mall: Mall, tick: Tick):
    mall.shop("a")
    shop = mall.shop("b")
    taken(mall, "a", "b")
    assert tick() == []
    assert reported(mall) == []
    shop.write("registry.json", (shop.folder / "registry.json").read_bytes() + b"\n")
    assert tick() == ["b"]
    assert tick() == []
    assert reported(mall) == ["b"]


def reported(mall: Mall) -> list[str | None]:
    """The ingestors whose feeds the sensor reported as changed."""
    events = mall.instance.fetch_materializations(round_checks.PUBLISHED, limit=10).records
    return [event.partition_key for event in events]


def test_a_daemon_that_starts_anew_asks_for_nothing_that_was_taken(mall: Mall, tick: Tick):
    mall.shop("a")
    taken(mall, "a")
    assert tick() == []


@pytest.mark.parametrize("file", ["registry.json", "feed/index.json", "feed/feed-000.json"])
def test_a_changed_file_asks_for_its_own_ingestor(mall: Mall, tick: Tick, file: str):
    mall.shop("a")
    shop = mall.shop("b")
    taken(mall, "a", "b")
    assert tick() == []
    shop.write(file, (shop.folder / file).read_bytes() + b"\n")
    assert tick() == ["b"]
    assert tick() == []


def test_a_file_that_was_only_touched_costs_no_run(mall: Mall, tick: Tick):
    shop = mall.shop("a")
    taken(mall, "a")
    os.utime(shop.folder / "feed" / "index.json", (1_700_000_000, 1_700_000_000))
    assert tick() == []


def test_a_feed_that_waits_for_a_person_is_not_asked_for_again_until_it_is_approved(mall: Mall, tick: Tick):
    shop = mall.shop("a")
    shop.write_feed(shard(*(product(number) for number in range(30))))
    taken(mall, "a")
    shop.write_feed(shard(product(1)))
    assert tick() == ["a"]
    assert not mall.run("a").success
    assert tick() == []
    rounds.approve(mall.connection, "acme", "a")
    assert tick() == ["a"]
    taken(mall, "a")
    assert tick() == []


def test_what_failed_is_tried_again_an_hour_later_without_a_change(mall: Mall, tick: Tick):
    mall.shop("a").write("registry.json", b"{")
    assert tick() == ["a"]
    assert not mall.run("a").success
    assert tick() == []
    with tenant_transaction(mall.connection, "acme"):
        mall.connection.execute("UPDATE catalog.feed_round SET finished_at = now() - %s", [changes.AGAIN])
    assert tick() == ["a"]


def test_a_source_that_cannot_be_looked_at_has_a_run_that_says_why_and_costs_nobody_else(mall: Mall, tick: Tick):
    shop = mall.shop("a")
    other = mall.shop("b")
    taken(mall, "a", "b")
    (shop.folder / "registry.json").unlink()
    other.write("feed/index.json", (other.folder / "feed" / "index.json").read_bytes() + b"\n")
    assert [tick(), tick(), tick(), tick()] == [["b"], [], ["a"], []]
    assert "registry.json cannot be read" in mall.run("a").errors[0]


def test_ingestors_in_a_run_and_of_retired_tenants_are_left_alone(mall: Mall, tick: Tick):
    mall.shop("a")
    mall.shop("b")
    mall.shop("c", tenant="gone")
    tenants.retire(mall.connection, "gone")
    run = mall.instance.create_run_for_job(
        build_definitions().resolve_job_def("catalog_ingest"),
        tags=partitions.range_tags(["a"]),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert tick() == ["b"]
    mall.instance.report_run_canceled(run)
    assert tick() == ["a"]


def test_many_ingestors_share_runs_and_what_changes_beyond_three_waits(mall: Mall, tick: Tick):
    for name in "abcdefg":
        mall.shop(name, tenant="gone" if name in "ac" else "acme")
    tenants.retire(mall.connection, "gone")
    running = [
        mall.instance.create_run_for_job(
            build_definitions().resolve_job_def("catalog_ingest"),
            tags={"dagster/sensor_name": "feed_changes"},
            status=dg.DagsterRunStatus.STARTED,
        )
        for _ in range(3)
    ]
    assert tick() == []
    mall.instance.report_run_canceled(running[0])
    assert tick() == ["b...g"]
    assert tick() == []


def test_a_tick_out_of_time_goes_on_where_it_stopped(mall: Mall, tick: Tick, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b", "c"):
        mall.shop(name)
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    assert [tick(), tick(), tick()] == [["a"], ["b"], ["c"]]


def test_each_ingestor_has_one_run_after_a_start_if_that_is_wanted(mall: Mall, tick: Tick, monkeypatch):
    mall.shop("a")
    mall.shop("b")
    taken(mall, "a", "b")
    monkeypatch.setenv("TRIGGER_INGESTION_ON_STARTUP", "true")
    settings.forget()
    assert tick() == []
    monkeypatch.setattr(sensors, "started", lambda _instance: "a daemon")
    assert tick() == ["a", "b"]
    assert tick() == []
    monkeypatch.setattr(sensors, "started", lambda _instance: "the next daemon")
    assert tick() == ["a", "b"]
    assert tick() == []


# Over HTTP ------------------------------------------------------------------------------------------------------------


def test_a_look_over_http_reads_no_shard_and_sees_the_next_generation(
    mall: Mall, tick: Tick, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SANDBOX_URL", sandbox.url)
    monkeypatch.setenv("INGESTION_CONFIG_PATH", str(Path(__file__).parents[2] / "ingestion.yaml"))
    settings.forget()
    for tenant in ("saigon", "harbour"):
        tenants.add(mall.connection, tenant, arango_database=tenant)
    names = ("saigon-shops", "harbour-shops")
    taken(mall, *names)
    shards = {"path_regex": "^/feeds/.*[0-9]\\.json"}
    sandbox.spoil({"match": shards, "action": "status", "status": 404, "times": None})
    sandbox.spoil({"match": {"path_regex": "^/feeds/"}, "action": "delay", "seconds": 0, "times": None})
    try:
        assert tick() == []
        sandbox.http().post("/feeds/_generation")
        assert sorted(tick()) == sorted(names)
        assert sandbox.fired()[0] == 0
        assert sandbox.fired()[1] > 0
        assert "404" in mall.run("saigon-shops").errors[0]
        assert sandbox.fired()[0] > 0
    finally:
        sandbox.http().delete("/feeds/_generation")


# Schedules ------------------------------------------------------------------------------------------------------------


def due(instance: dg.DagsterInstance, schedule: str, at: datetime) -> Any:
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
        return build_definitions().get_repository_def().get_schedule_def(schedule)(context)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that a schedule can open by reference."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_each_ingestor_with_a_cron_has_a_schedule_of_its_own(mall: Mall, stored: dg.DagsterInstance):
    mall.shop("Big-Shop.vn", schedule="0 */4 * * *")
    mall.shop("daily", schedule="@daily")
    mall.shop("whenever")
    found = {
        each.name: (each.cron_schedule, each.execution_timezone)
        for each in build_definitions().get_repository_def().schedule_defs
        if each.job_name == "catalog_ingest"
    }
    assert found == {"catalog_big_shop_vn": ("0 */4 * * *", "UTC"), "catalog_daily": ("@daily", "UTC")}
    request = due(stored, "catalog_big_shop_vn", NOON)
    assert request.partition_key == "Big-Shop.vn"


def test_a_schedule_does_not_pile_runs_up(mall: Mall, stored: dg.DagsterInstance):
    mall.shop("a", schedule="@hourly")
    mall.shop("b", schedule="@hourly")
    stored.create_run_for_job(
        build_definitions().resolve_job_def("catalog_ingest"),
        tags={"dagster/partition": "a"},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert isinstance(due(stored, "catalog_a", NOON), dg.SkipReason)
    assert isinstance(due(stored, "catalog_b", NOON), dg.RunRequest)


def test_the_intervals_of_the_environment_are_kept(mall: Mall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEED_CHECK_INTERVAL", "77")
    settings.forget()
    repository = build_definitions().get_repository_def()
    assert repository.get_sensor_def("feed_changes").minimum_interval_seconds == 77
    monkeypatch.setenv("FEED_CHECK_INTERVAL", "soon")
    settings.forget()
    with pytest.raises(ConfigurationError, match="FEED_CHECK_INTERVAL"):
        build_definitions()


@pytest.mark.parametrize(
    ("interval", "cron", "ticks", "runs"),
    [
        ("", "30 5 * * *", ["2026-03-01T05:30", "2026-03-02T05:30", "2026-03-03T05:30"], 3),
        ("172800", "30 5 * * *", ["2026-03-02T05:30", "2026-03-03T05:30", "2026-03-04T05:30", "2026-03-05T05:30"], 2),
        ("43200", "30 * * * *", [f"2026-03-01T{hour:02}:30" for hour in range(24)], 2),
        ("600", "* * * * *", [f"2026-03-01T05:{minute:02}" for minute in range(60)], 6),
    ],
)
def test_the_cleanup_runs_once_in_each_interval(  # noqa: PLR0917
    mall: Mall, monkeypatch, interval, cron, ticks, runs
):
    monkeypatch.setenv("CLEANUP_INTERVAL", interval)
    settings.forget()
    schedule = build_definitions().get_repository_def().get_schedule_def("catalog_cleanup_schedule")
    assert schedule.cron_schedule == cron
    moments = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in ticks]
    launched = 0
    # The context of a schedule takes an instance that is kept.
    with dg.instance_for_test() as instance:
        for at in moments:
            with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
                asked: Any = schedule(context)
            for request in [] if isinstance(asked, dg.SkipReason) else asked:
                launched += 1
                instance.create_run_for_job(sensors.cleanup_job, tags={"dagster/run_key": request.run_key})
    assert launched == runs
