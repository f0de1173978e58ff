"""When assets run by themselves.

The sensor that sees a change in an outside system requests the run that reads it. The condition `follow_upstream` then
carries the change to the assets below, whatever run made the asset above. One sensor evaluates it for all rooms, so
that tenants, and assets of different rooms, share runs. Schedules are the safety net: they request the same work, which
is quick when nothing changed.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from cdp_platform.orchestration import partitions, run_limits

# Dagster marks the evaluation of own conditions in the code server as subject to change. Our tests notice a change; a
# warning on every command would help nobody.
warnings.filterwarnings("ignore", message=r"Parameter `use_user_code_server`", category=dg.BetaWarning)

if TYPE_CHECKING:
    from dagster._core.definitions.sensor_definition import SensorExecutionData

NAME = "automation"

# Some changes write no event, such as the deletion of a run: they are seen by the next evaluation.
_EVALUATE_AT_LEAST_EVERY_SECONDS = 60.0

# Op tags of a check that blocks nothing. A run executes one step at a time, and takes assets that are ready first.
AFTER_ASSETS = {"dagster/priority": "-1"}


class NoRunAtWork(dg.AutomationCondition):
    """True for tenants for which no unfinished run makes this asset or anything upstream, while a run may be requested.

    A step reports the tenants of a range one by one. If runs were requested in between, each tick would request one for
    the part that it sees. When the run has ended, the whole range is due.
    """

    @property
    def description(self) -> str:
        """The text that the UI shows."""
        return "no unfinished run is at work on it or upstream of it, and a run may be asked for"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The candidates that no unfinished run covers."""
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
    """Run for a tenant when something upstream of it changed, as soon as no unfinished run covers it.

    The asset itself asks, for each tenant, whether upstream is sound (`tenant_runs.for_each_tenant`, ``unless``). A
    condition can only look at Dagster's checks. A run over a range of tenants leaves no result per tenant that a
    condition accepts, so the condition would wait for ever.
    """
    return (dg.AutomationCondition.eager() & NoRunAtWork()).with_label("follow_upstream")


class Automation(dg.AutomationConditionSensorDefinition):
    """Dagster's own evaluation of all conditions, which asks for runs over ranges of tenants.

    Dagster's cursor holds what is due and has no run yet. Dagster stores it together with the runs that a tick
    requests: a tick that dies is repeated, or the next tick submits its runs.

    A tick is short while nothing happens: after two evaluations that saw the same events and tenants and requested
    nothing, the next one is when an event or a tenant is new, or after a minute.
    """

    def __init__(self) -> None:
        super().__init__(
            NAME,
            target=dg.AssetSelection.all(),
            minimum_interval_seconds=15,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Makes the assets of all rooms that follow a change in what they are made of. For any number "
            "of tenants, at most three of its runs are unfinished; further changes share the next one.",
            # A backfill would have one run for each gap between tenants.
            emit_backfills=False,
            use_user_code_server=True,
        )
        # What the latest evaluation saw, and the cursor that it left. Both are None if it requested runs.
        self._seen: Any = None
        self._left: str | None = None
        # Until when what was seen needs no further evaluation.
        self._settled_until = 0.0

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> "SensorExecutionData":
        """As Dagster evaluates it, or the same cursor if nothing has happened."""
        seen = _events_and_tenants(context.instance)
        is_same = seen == self._seen and context.cursor == self._left
        if is_same and time.monotonic() < self._settled_until:
            return _nothing_happened(context.cursor)
        answer = super().evaluate_tick(context)
        requested = bool(answer.run_requests)
        self._seen, self._left = (None, None) if requested else (seen, answer.cursor)
        self._settled_until = time.monotonic() + _EVALUATE_AT_LEAST_EVERY_SECONDS if is_same and not requested else 0.0
        return answer

    def resolve_run_requests(
        self,
        run_requests: Sequence[dg.RunRequest],
        context: dg.SensorEvaluationContext,
        asset_selection: dg.AssetSelection | None,
        dynamic_partitions_requests: Sequence[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest],
    ) -> Sequence[dg.RunRequest]:
        """As Dagster resolves them, after the requests of neighbouring tenants were joined."""
        instance = context.instance
        # The condition has found that at least one run may be requested.
        at_most = max(1, run_limits.left_for(instance, self.name))
        joined = in_ranges(run_requests, partitions.known(instance), at_most=at_most)
        return super().resolve_run_requests(joined, context, asset_selection, dynamic_partitions_requests)


def _events_and_tenants(instance: dg.DagsterInstance) -> tuple[int | None, list[str]]:
    """The newest event of all runs and assets, and all tenants."""
    return instance.event_log_storage.get_maximum_record_id(), partitions.known(instance)


def _nothing_happened(cursor: str | None) -> "SensorExecutionData":
    from dagster._core.definitions.sensor_definition import SensorExecutionData  # noqa: PLC0415 (no public name)

    return SensorExecutionData(skip_message="Nothing has happened since the last evaluation.", cursor=cursor)


def in_ranges(requests: Iterable[dg.RunRequest], tenant_ids: Sequence[str], *, at_most: int) -> Sequence[dg.RunRequest]:
    """Runs over ranges of tenants that make everything that was requested.

    A run makes for all its tenants what was requested for any of them: an unchanged asset is made quickly.

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
