"""Tenants as Dagster partitions.

A tenant is a partition, never a part of an asset key and never a code location: the graph stays the same size with two
tenants or two thousand.
"""

import warnings
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import pairwise

import dagster as dg

from cdp_platform.ops.tenants import Tenant

# Two parameters that the platform needs are marked as changeable in Dagster: `backfill_policy` (beta) and
# `partitions_def` of a check (preview). Their tests would notice a change; a warning on every command tells nobody.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`", category=dg.BetaWarning)
warnings.filterwarnings("ignore", message=r"Specifying a partitions_def on an AssetCheck", category=dg.PreviewWarning)

TENANTS = "tenant"

tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANTS)

# Dagster has no public name for these two tags, by which its own backfills ask one run for a range of partitions.
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_PARTITION = "dagster/partition"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def assets_beside(definitions: dg.Definitions, jobs: Iterable[str]) -> list[dg.AssetKey]:
    """The assets with a partition for each tenant that none of these jobs makes."""
    graph = definitions.resolve_asset_graph()
    made = {key for job in jobs for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys}
    return sorted(
        key for key in graph.materializable_asset_keys - made if graph.get(key).partitions_def == tenant_partitions
    )


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """Tags that make one run cover the partitions from the first of these keys to the last, in the instance's order."""
    return {_RANGE_START: keys[0], _RANGE_END: keys[-1]}


def ranges(partitions: Sequence[str], wanted: Collection[str], *, at_most: int | None = None) -> list[list[str]]:
    """The wanted partitions in as few runs as there are gaps between them: neighbours, in the instance's order.

    Args:
        partitions: all of them, in the instance's order.
        wanted: those that runs are for.
        at_most: the number of runs. The narrowest gaps are closed for it: the partitions in them have a run too.
    """
    if at_most == 0:
        return []
    places = [place for place, key in enumerate(partitions) if key in wanted]
    gaps = [(after - before, before, after) for before, after in pairwise(places) if after > before + 1]
    if at_most is not None:
        gaps = sorted(sorted(gaps, reverse=True)[: at_most - 1], key=lambda gap: gap[1])
    starts = [*places[:1], *(after for _, _, after in gaps)]
    ends = [*(before for _, before, _ in gaps), *places[-1:]]
    return [list(partitions[start : end + 1]) for start, end in zip(starts, ends, strict=True)]


def busy(instance: dg.DagsterInstance, jobs: Collection[str], order: Sequence[str] | None = None) -> set[str]:
    """The partitions that an unfinished run of one of these jobs is for.

    Args:
        instance: where the runs are.
        jobs: by name.
        order: all partitions of these jobs, in order; the tenants if not given.
    """
    return _covered(
        [run for run in _unfinished(instance) if run.job_name in jobs], known(instance) if order is None else order
    )


def at_work_on(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> set[str]:
    """The tenants that an unfinished run is for which makes one of these assets.

    A run of a whole job does not name its assets: it counts, whatever the job is.
    """
    made = set(assets)
    return _covered(
        [run for run in _unfinished(instance) if run.asset_selection is None or made & run.asset_selection],
        known(instance),
    )


def _unfinished(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))


def _covered(runs: Iterable[dg.DagsterRun], order: Sequence[str]) -> set[str]:
    """The partitions that these runs are for. Runs over partitions of another kind cover none."""
    found: set[str] = set()
    for run in runs:
        if _RANGE_START in run.tags:
            first, last = run.tags[_RANGE_START], run.tags[_RANGE_END]
            if first in order and last in order:
                found.update(order[order.index(first) : order.index(last) + 1])
        elif run.tags.get(_PARTITION) in order:
            found.add(run.tags[_PARTITION])
    return found


def is_running(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether a run of this job has not ended yet."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=UNFINISHED), limit=1))


def unfinished_since(instance: dg.DagsterInstance, jobs: Collection[str]) -> datetime | None:
    """When the oldest unfinished run of these jobs was asked for; None if there is none."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return min((each.create_timestamp for each in records if each.dagster_run.job_name in jobs), default=None)


def known(instance: dg.DagsterInstance) -> list[str]:
    """The tenants that Dagster knows, in its order."""
    return list(instance.get_dynamic_partitions(TENANTS))


def to_add(tenants: Iterable[Tenant], partitions: Iterable[str]) -> list[str]:
    """Active tenants that have no partition yet."""
    present = set(partitions)
    return [tenant.tenant_id for tenant in tenants if tenant.active and tenant.tenant_id not in present]


def to_delete(instance: dg.DagsterInstance, tenants: Iterable[Tenant], partitions: Iterable[str]) -> list[str]:
    """Partitions of retired or unregistered tenants that no run is working on.

    Deleting a partition under a run kills the run and loses its finished work, so a busy one waits for the next time.
    A run over a range does not name its tenants; while one runs, none is idle.
    """
    active = {tenant.tenant_id for tenant in tenants if tenant.active}
    superfluous = [partition for partition in partitions if partition not in active]
    if not superfluous:
        return []
    runs = _unfinished(instance)
    if any(_RANGE_START in run.tags for run in runs):
        return []
    busy = {run.tags.get(_PARTITION) for run in runs}
    return [partition for partition in superfluous if partition not in busy]


def ensure(instance: dg.DagsterInstance, tenants: Iterable[Tenant]) -> None:
    """Give these tenants, if active, their partitions."""
    if added := to_add(tenants, known(instance)):
        instance.add_dynamic_partitions(TENANTS, added)


def keep_in_step(instance: dg.DagsterInstance, registered: Sequence[Tenant]) -> None:
    """Give every active tenant its partition, and take those that belong to none; wants all registered tenants."""
    ensure(instance, registered)
    for tenant_id in to_delete(instance, registered, known(instance)):
        instance.delete_dynamic_partition(TENANTS, tenant_id)
