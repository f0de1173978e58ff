"""What it costs in runs that many tenants change at once, whatever part of it a tick sees; without a daemon.

The graph is a small one with the platform's own condition, sensor and loop over partitions; the runs are real ones.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.execution.api import execute_run

from cdp_platform.orchestration import automation, partitions, run_limits
from cdp_platform.orchestration.automation import NAME, Automation, follow_upstream, in_ranges
from cdp_platform.orchestration.partitions import tenant_partitions
from cdp_platform.orchestration.tenant_runs import Made, for_each_partition

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

TENANTS = [f"tenant-{number:03}" for number in range(100)]
FEW = TENANTS[:12]
SYNC = "sync"
WATCHER = "source_changes"
NOTHING = "Nothing has happened since the last evaluation."


def asset_of(
    name: str, made: Callable[[str, str], None], *, deps: Sequence[str], follows: bool = True
) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=deps,
        partitions_def=tenant_partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=follow_upstream() if follows else None,
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        def work(tenant_id: str) -> Iterator[Made]:
            made(name, tenant_id)
            yield context.asset_key, {}

        (result,) = for_each_partition(context, work)
        return result

    return asset


def requests_of(answer: SensorExecutionData) -> Sequence[dg.RunRequest]:
    return answer.run_requests or []


def ranges_of(answer: SensorExecutionData) -> list[dict[str, str]]:
    return [
        {name: value for name, value in run.tags.items() if "partition_range" in name} for run in requests_of(answer)
    ]


@dataclass
class Town:
    """Tenants, a room that a sensor asks to read the source, and rooms that follow it; one run at a time."""

    instance: dg.DagsterInstance
    tenants: Sequence[str] = field(default_factory=lambda: FEW)
    rooms: Sequence[str] = ()
    failing: Collection[str] = ()
    made: dict[str, list[str]] = field(default_factory=dict)
    asked: int = 0
    cursor: str | None = None

    def __post_init__(self) -> None:
        self.instance.add_dynamic_partitions(partitions.TENANTS, self.tenants)
        assets = [
            asset_of("profiles", self.note, deps=[], follows=False),
            asset_of("metrics", self.note, deps=["profiles"]),
            *(asset_of(room, self.note, deps=["metrics"]) for room in self.rooms),
        ]
        self.definitions = dg.Definitions(
            assets=assets,
            jobs=[dg.define_asset_job(SYNC, selection=["profiles", "metrics"])],
            sensors=[Automation()],
            executor=dg.in_process_executor,
        )
        self.repository = self.definitions.get_repository_def()
        self.queue: deque[tuple[dg.JobDefinition, dg.DagsterRun]] = deque()
        self.tick()

    def note(self, asset: str, tenant_id: str) -> None:
        if asset == "profiles" and tenant_id in self.failing:
            raise ValueError(tenant_id)
        self.made.setdefault(asset, []).append(tenant_id)

    def change(self, changed: Collection[str]) -> None:
        """What the sensor of the source does when it sees these changes at once."""
        for keys in partitions.ranges(self.tenants, changed, at_most=run_limits.left_for(self.instance, WATCHER)):
            self.ask(SYNC, WATCHER, dg.RunRequest(tags=partitions.range_tags(keys)))

    def tick(self) -> list[dict[str, str]]:
        """One tick of the automation; answers the ranges that it asked for."""
        answer = self.look()
        self.cursor = answer.cursor
        for request in requests_of(answer):
            assert request.job_name
            self.ask(request.job_name, NAME, request)
        return ranges_of(answer)

    def look(self) -> SensorExecutionData:
        """What a tick would answer."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository
        ) as context:
            return self.repository.get_sensor_def(NAME).evaluate_tick(context)

    def update(self, asset: str, *tenant_ids: str) -> None:
        """As somebody who materializes this asset alone."""
        for tenant_id in tenant_ids:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=tenant_id))

    def begin(self, sensor: str, keys: Sequence[str], *assets: str) -> dg.DagsterRun:
        """A run that does not end by itself."""
        return self.instance.create_run_for_job(
            self.repository.get_job(SYNC),
            tags={**partitions.range_tags(keys), "dagster/sensor_name": sensor},
            asset_selection=frozenset(map(dg.AssetKey, assets)) or None,
            status=dg.DagsterRunStatus.STARTED,
        )

    def ask(self, job_name: str, sensor: str, request: dg.RunRequest) -> None:
        """Put a run into the queue, as the daemon does."""
        selection = frozenset(request.asset_selection) if request.asset_selection else None
        job = self.repository.get_job(job_name)
        if selection:
            job = job.get_subset(asset_selection=selection)
        run = self.instance.create_run_for_job(
            job,
            tags={**request.tags, "dagster/sensor_name": sensor},
            asset_selection=selection,
        )
        self.asked += 1
        self.queue.append((job, run))

    def settle(self, monkeypatch: pytest.MonkeyPatch, *, events_per_tick: int) -> None:
        """Run what is in the queue, with ticks amid the events of the runs and after each, until nothing is due."""
        handle, events = self.instance.handle_new_event, [0]

        def and_tick(*args, **named) -> None:
            handle(*args, **named)
            events[0] += 1
            if events[0] % events_per_tick == 0:
                self.tick()

        with monkeypatch.context() as patch:
            patch.setattr(self.instance, "handle_new_event", and_tick)
            while self.queue or self.tick():
                self.run_next()
                self.tick()

    def run_next(self) -> None:
        job, run = self.queue.popleft()
        execute_run(InMemoryJob(job), run, self.instance)


def test_many_tenants_with_gaps_failures_and_a_room_that_follows_cost_at_most_ten_runs(instance, monkeypatch):
    """Every ninth did not change, every fortieth fails, one is retired meanwhile; ticks see parts of all of it."""
    changed = [tenant_id for number, tenant_id in enumerate(TENANTS) if number % 9]
    failing = TENANTS[20::40]
    town = Town(instance, tenants=TENANTS, rooms=["points"], failing=failing)
    town.change(changed)
    town.run_next()
    instance.delete_dynamic_partition(partitions.TENANTS, changed[0])
    town.settle(monkeypatch, events_per_tick=150)
    print(f"\n{len(changed)} of {len(TENANTS)} tenants that changed at once: {town.asked} runs")  # noqa: T201
    assert town.asked <= run_limits.MAX_RUNS
    assert set(town.made["points"]) >= {*changed[1:]} - {*failing}


def test_a_change_goes_down_all_rooms_in_one_run_and_then_rests(instance, monkeypatch):
    town = Town(instance, rooms=["points", "levels"])
    town.change(FEW)
    town.settle(monkeypatch, events_per_tick=5)
    assert town.asked == 2
    assert town.made == {"profiles": FEW, "metrics": FEW, "points": FEW, "levels": FEW}


def test_a_tenant_waits_for_the_end_of_a_run_that_is_at_work_upstream(instance):
    town = Town(instance)
    sync = town.begin(WATCHER, FEW[:3], "profiles")
    town.update("profiles", FEW[0], FEW[5])
    assert town.tick() == [partitions.range_tags([FEW[5]])]
    town.update("profiles", FEW[1], FEW[2])
    assert town.tick() == []
    instance.report_run_canceled(sync)
    assert town.tick() == [partitions.range_tags(FEW[:3])]
    assert town.tick() == []


def test_a_run_that_makes_nothing_upstream_is_not_waited_for(instance):
    town = Town(instance, rooms=["points"])
    town.begin(WATCHER, FEW, "points")
    town.update("profiles", FEW[0])
    (request,) = requests_of(town.look())
    assert request.asset_selection == [dg.AssetKey("metrics")]


def test_what_a_tick_that_died_would_have_asked_for_is_asked_for_by_the_next(instance):
    town = Town(instance)
    town.update("profiles", FEW[0], FEW[7])
    died = town.look()
    assert ranges_of(died) == town.tick() == [partitions.range_tags([FEW[0]]), partitions.range_tags([FEW[7]])]


def test_what_is_due_beyond_the_limit_waits_and_shares_a_run(instance):
    town = Town(instance)
    running = [town.begin(NAME, [FEW[0]], "metrics") for _ in range(run_limits.MAX_RUNS_PER_SENSOR)]
    town.update("profiles", FEW[3], FEW[5])
    assert town.tick() == []
    town.update("profiles", FEW[7])
    instance.report_run_canceled(running[0])
    assert town.tick() == [partitions.range_tags(FEW[3:8])]


def test_the_ui_has_what_a_tick_found(instance):
    town = Town(instance)
    town.tick()
    assert town.look().automation_condition_evaluations == []
    town.update("profiles", FEW[0])
    assert [each.key for each in town.look().automation_condition_evaluations] == [dg.AssetKey("metrics")]


def test_a_sensor_may_ask_for_three_runs_and_all_of_them_for_ten(instance):
    town = Town(instance)
    assert run_limits.left_for(instance, "a") == 3
    town.begin("a", FEW[:1])
    assert [run_limits.left_for(instance, name) for name in "ab"] == [2, 3]
    for name in "bbbcccd":
        town.begin(name, FEW[:1])
    assert [run_limits.left_for(instance, name) for name in "abe"] == [2, 0, 2]
    for name in "de":
        town.begin(name, FEW[:1])
    assert run_limits.left_for(instance, "a") == 0


def test_runs_of_people_and_of_the_clock_do_not_count(instance):
    town = Town(instance)
    for _ in range(run_limits.MAX_RUNS):
        instance.create_run_for_job(town.repository.get_job(SYNC), status=dg.DagsterRunStatus.STARTED)
    assert run_limits.left_for(instance, "a") == run_limits.MAX_RUNS_PER_SENSOR


def test_a_run_over_a_range_makes_what_was_asked_for_any_of_its_tenants():
    def one(tenant_id: str | None, *assets: str) -> dg.RunRequest:
        return dg.RunRequest(partition_key=tenant_id, asset_selection=[dg.AssetKey(name) for name in assets])

    whole = one(None, "report")
    requests = [one("a", "metrics"), whole, one("b", "metrics", "points"), one("e", "points"), one("g", "metrics")]
    joined = in_ranges(requests, list("abcdefg"), at_most=2)
    assert joined[-1] is whole
    assert [(run.tags, run.asset_selection) for run in joined[:-1]] == [
        (partitions.range_tags(list("ab")), [dg.AssetKey("metrics"), dg.AssetKey("points")]),
        (partitions.range_tags(list("efg")), [dg.AssetKey("metrics"), dg.AssetKey("points")]),
    ]


def test_what_no_job_makes_is_found_in_the_graph(instance):
    town = Town(instance, rooms=["points", "levels"])
    assert partitions.assets_beside(town.definitions, {SYNC}) == [dg.AssetKey("levels"), dg.AssetKey("points")]


def test_while_nothing_happens_conditions_are_evaluated_once_a_minute(instance, monkeypatch):
    town, evaluated = Town(instance), [0]
    evaluate = AutomationTickEvaluationContext.evaluate

    def count(self: AutomationTickEvaluationContext):
        evaluated[0] += 1
        return evaluate(self)

    monkeypatch.setattr(AutomationTickEvaluationContext, "evaluate", count)

    def evaluations(ticks: int) -> int:
        before = evaluated[0]
        for _ in range(ticks):
            town.tick()
        return evaluated[0] - before

    assert evaluations(6) <= 2
    left = town.cursor
    assert evaluations(3) == 0
    assert town.cursor == left
    monkeypatch.setattr(automation, "_EVALUATE_AT_LEAST_EVERY_SECONDS", 0.0)
    town.update("metrics", FEW[0])
    assert evaluations(4) == 4


@pytest.mark.parametrize("happens", ["a change", "a tenant", "the end of a run"])
def test_what_happens_is_seen_by_the_next_tick(instance, happens: str):
    town = Town(instance)
    sync = town.begin(WATCHER, FEW[:3], "profiles")
    town.update("profiles", FEW[0])
    for _ in range(3):
        assert town.tick() == []
    assert town.look().skip_message == NOTHING
    if happens == "a change":
        town.update("profiles", FEW[4])
        assert town.tick() == [partitions.range_tags([FEW[4]])]
        # The request itself changed what is due.
        assert town.look().skip_message != NOTHING
    elif happens == "a tenant":
        instance.add_dynamic_partitions(partitions.TENANTS, ["new-tenant"])
        assert town.look().skip_message != NOTHING
    else:
        instance.report_run_canceled(sync)
        assert town.tick() == [partitions.range_tags([FEW[0]])]
