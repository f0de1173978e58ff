"""When assets run by themselves.

What reads an outside system is asked for by the sensor that sees the change, which knows how many tenants share a run.
From there the change walks down the graph by this condition, whoever made it. One sensor evaluates it for all rooms, so
that tenants, and assets of different rooms, share runs. Schedules stay as the net beneath: they ask for the same work,
which costs little when nothing changed.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence

import dagster as dg

from cdp_platform.orchestration import partitions, run_limits

# A condition of our own is evaluated where our code is, and Dagster marks that as changeable. The tests would notice a
# change; a warning on every command tells nobody.
warnings.filterwarnings("ignore", message=r"Parameter `use_user_code_server`", category=dg.BetaWarning)

NAME = "automation"

# Op tags of a check that blocks nothing. A run makes one step after the other, and assets that are ready come first.
AFTER_ASSETS = {"dagster/priority": "-1"}


class NoRunAtWork(dg.AutomationCondition):
    """True for tenants for which no unfinished run makes this asset or anything above it, while a run may be asked for.

    A step notes the tenants of a range one by one. Asking in between would make a run of each part that a tick sees;
    when the run has ended, the whole range is due.
    """

    @property
    def description(self) -> str:
        """As the UI shows it."""
        return "no unfinished run is at work on it or upstream of it, and a run may be asked for"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The candidates that are idle."""
        candidates = context.candidate_subset
        if candidates.is_empty or not candidates.is_partitioned:
            return dg.AutomationResult(context, candidates)
        instance = context.asset_graph_view.instance
        if not run_limits.left_for(instance, NAME):
            return dg.AutomationResult(context, context.get_empty_subset())
        line = context.asset_graph.get_ancestor_asset_keys(context.key, include_self=True)
        idle = candidates.expensively_compute_partition_keys() - partitions.at_work_on(instance, line)
        return dg.AutomationResult(context, candidates.compute_intersection_with_partition_keys(idle))


def follow_upstream() -> dg.AutomationCondition:
    """Run for a tenant when something upstream of it changed, as soon as no run is at work there.

    Whether upstream is fit to build on is not asked here but by the asset itself, tenant by tenant
    (`tenant_runs.for_each_tenant`, ``unless``). A condition can only ask for the state of Dagster's checks, and a run
    over a range of tenants leaves none per tenant that it would believe: it would wait for ever.
    """
    return (dg.AutomationCondition.eager() & NoRunAtWork()).with_label("follow_upstream")


class Automation(dg.AutomationConditionSensorDefinition):
    """Dagster's own evaluation of all conditions, which asks for runs over ranges of tenants.

    What is due and has no run yet is in Dagster's cursor, which is stored together with the runs that a tick asks for:
    a tick that dies is repeated, or its runs are submitted by the next one.
    """

    def __init__(self) -> None:
        super().__init__(
            NAME,
            target=dg.AssetSelection.all(),
            minimum_interval_seconds=15,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Walks changes down the assets of all rooms that follow what they are made of. However many "
            "tenants changed, it has three runs at most that have not ended; more changes share the next one.",
            # A backfill would be a run for each gap between tenants.
            emit_backfills=False,
            use_user_code_server=True,
        )

    def resolve_run_requests(
        self,
        run_requests: Sequence[dg.RunRequest],
        context: dg.SensorEvaluationContext,
        asset_selection: dg.AssetSelection | None,
        dynamic_partitions_requests: Sequence[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest],
    ) -> Sequence[dg.RunRequest]:
        """As Dagster resolves them, after those of neighbours became one."""
        instance = context.instance
        # The condition found room for one at least.
        at_most = max(1, run_limits.left_for(instance, self.name))
        joined = in_ranges(run_requests, partitions.known(instance), at_most=at_most)
        return super().resolve_run_requests(joined, context, asset_selection, dynamic_partitions_requests)


def in_ranges(requests: Iterable[dg.RunRequest], tenant_ids: Sequence[str], *, at_most: int) -> Sequence[dg.RunRequest]:
    """Runs over ranges of tenants that make everything that was asked for.

    A run makes for all its tenants what was asked for any of them: what is unchanged costs little.

    Args:
        requests: each for one tenant and some assets, or without a partition; those stay as they are.
        tenant_ids: all, in the order of their partitions.
        at_most: the number of runs for tenants, from 1.
    """
    assets: dict[str, set[dg.AssetKey]] = defaultdict(set)
    others = []
    for request in requests:
        if request.partition_key is None:
            others.append(request)
        else:
            assets[request.partition_key].update(request.asset_selection or [])
    made = [
        dg.RunRequest(
            tags=partitions.range_tags(keys),
            asset_selection=sorted(set().union(*(assets[key] for key in keys if key in assets))),
        )
        for keys in partitions.ranges(tenant_ids, assets, at_most=at_most)
    ]
    return [*made, *others]
