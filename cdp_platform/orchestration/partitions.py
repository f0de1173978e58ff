"""Tenants as Dagster partitions.

A tenant is a partition, never a part of an asset key and never a code location, so the graph has the same size with two
tenants and with two thousand.
"""

import warnings
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import pairwise

import dagster as dg

from cdp_platform.ops.tenants import Tenant

# Dagster marks two parameters that the platform needs as subject to change: `backfill_policy` (beta) and
# `partitions_def` of a check (preview). Our tests notice a change; a warning on every command would help nobody.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`", category=dg.BetaWarning)
warnings.filterwarnings("ignore", message=r"Specifying a partitions_def on an AssetCheck", category=dg.PreviewWarning)

TENANTS = "tenant"

tenant_partitions = dg.DynamicPartitionsDefinition(name=TENANTS)

# Dagster's own backfills use these two tags to request one run for a range of partitions. It has no public names for
# them.
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
    """The wanted partitions as ranges of neighbours, in the instance's order: one range for each gap-free stretch.

    Args:
        partitions: all of them, in the instance's order.
        wanted: those that runs are for.
        at_most: largest number of ranges. To keep it, the narrowest gaps are filled: the partitions in them are run
            too.
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
    """The partitions that unfinished runs of these jobs cover.

    Args:
        instance: where the runs are.
        jobs: by name.
        order: all partitions of these jobs, in order; the tenants if not given.
    """
    return covered(
        [run for run in _unfinished(instance) if run.job_name in jobs], known(instance) if order is None else order
    )


def at_work_on(instance: dg.DagsterInstance, assets: Collection[dg.AssetKey]) -> set[str]:
    """The tenants that unfinished runs cover which make one of these assets.

    A run of a whole job does not name its assets, so every such run counts.
    """
    made = set(assets)
    return covered(
        [run for run in _unfinished(instance) if run.asset_selection is None or made & run.asset_selection],
        known(instance),
    )


def _unfinished(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))


def covered(runs: Iterable[dg.DagsterRun], order: Sequence[str]) -> set[str]:
    """The partitions that these runs cover. Runs over partitions of another kind cover none."""
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
    """Partitions of retired or unregistered tenants that no run is working on."""
    active = {tenant.tenant_id for tenant in tenants if tenant.active}
    return idle(instance, [partition for partition in partitions if partition not in active])


def idle(instance: dg.DagsterInstance, superfluous: Sequence[str]) -> list[str]:
    """Those of these partitions that can be deleted, because no run is working on them.

    Deleting the partition of a run kills the run and loses its finished work, so such a partition waits for the next
    tick. A run over a range does not name its partitions: while one is unfinished, none is deleted.
    """
    if not superfluous:
        return []
    runs = _unfinished(instance)
    if any(_RANGE_START in run.tags for run in runs):
        return []
    busy = {run.tags.get(_PARTITION) for run in runs}
    return [partition for partition in superfluous if partition not in busy]


def ensure(instance: dg.DagsterInstance, tenants: Iterable[Tenant]) -> None:
    """Add the partitions of these tenants, if they are active."""
    if added := to_add(tenants, known(instance)):
        instance.add_dynamic_partitions(TENANTS, added)


def keep_in_step(instance: dg.DagsterInstance, registered: Sequence[Tenant]) -> None:
    """Give every active tenant its partition, and take those that belong to none; wants all registered tenants."""
    ensure(instance, registered)
    for tenant_id in to_delete(instance, registered, known(instance)):
        instance.delete_dynamic_partition(TENANTS, tenant_id)
