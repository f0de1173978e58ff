"""Tenants as Dagster partitions.

A tenant is a partition, never a part of an asset key and never a code location: the graph stays the same size with two
tenants or two thousand.
"""

import warnings
from collections.abc import Iterable, Sequence

import dagster as dg

from cdp_platform.warehouse.tenants import Tenant

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


def known(instance: dg.DagsterInstance) -> list[str]:
    """The tenants that Dagster knows, in its order."""
    return list(instance.get_dynamic_partitions(TENANTS))


def to_add(tenants: Iterable[Tenant], partitions: Iterable[str]) -> list[str]:
    """Active tenants that have no partition yet."""
    present = set(partitions)
    return [tenant.tenant_id for tenant in tenants if tenant.active and tenant.tenant_id not in present]


def to_delete(instance: dg.DagsterInstance, tenants: Iterable[Tenant], partitions: Iterable[str]) -> list[str]:
    """Partitions of retired tenants that no run is working on.

    Deleting a partition under a run kills the run and loses its finished work, so a busy one waits for the next time.
    A run over a range does not name its tenants; while one runs, none is idle.
    """
    present = set(partitions)
    retired = [tenant.tenant_id for tenant in tenants if not tenant.active and tenant.tenant_id in present]
    if not retired:
        return []
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    if any(_RANGE_START in run.tags for run in runs):
        return []
    busy = {run.tags.get(_PARTITION) for run in runs}
    return [tenant_id for tenant_id in retired if tenant_id not in busy]


def keep_in_step(instance: dg.DagsterInstance, tenants: Sequence[Tenant]) -> None:
    """Give every active tenant its partition, and take it from retired ones that are idle."""
    partitions = known(instance)
    if added := to_add(tenants, partitions):
        instance.add_dynamic_partitions(TENANTS, added)
    for tenant_id in to_delete(instance, tenants, partitions):
        instance.delete_dynamic_partition(TENANTS, tenant_id)
