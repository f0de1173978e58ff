"""Tenants as Dagster partitions.

A tenant is a partition, never a part of an asset key and never a code location: the graph stays the same size with two
tenants or two thousand.
"""

import warnings
from collections.abc import Collection, Iterable, Sequence
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

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """Tags that make one run cover the partitions from the first of these keys to the last, in the instance's order."""
    return {_RANGE_START: keys[0], _RANGE_END: keys[-1]}


def ranges(partitions: Sequence[str], wanted: Collection[str], *, at_most: int | None = None) -> list[list[str]]:
    """The wanted partitions in as few runs as there are gaps between them: neighbours, in the instance's order.

    Args:
        partitions: all of them, in the instance's order.
        wanted: those that runs are for.
        at_most: so many runs. The narrowest gaps are closed for it, and whoever lies in one has a run too.
    """
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
    order = known(instance) if order is None else order
    found: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if run.job_name not in jobs:
            continue
        if _RANGE_START in run.tags:
            first, last = run.tags[_RANGE_START], run.tags[_RANGE_END]
            if first in order and last in order:
                found.update(order[order.index(first) : order.index(last) + 1])
        elif _PARTITION in run.tags:
            found.add(run.tags[_PARTITION])
    return found


def is_running(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether a run of this job has not ended yet."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=_UNFINISHED), limit=1))


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
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
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
