"""Keeps Dagster's partitions equal to the registered tenants, whichever program registered them."""

import dagster as dg

from cdp_platform.ops import tenants
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.resources import WarehouseResource


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for every active tenant, and deletes those without an active tenant once no run uses "
    "them.",
)
def tenant_registry(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
    """Compare ``ops.tenant`` with the partitions once."""
    with warehouse.connect() as connection:
        registered = tenants.registered(connection)
    known = partitions.known(context.instance)
    added = partitions.to_add(registered, known)
    deleted = partitions.to_delete(context.instance, registered, known)
    requests = []
    if added:
        requests.append(partitions.tenant_partitions.build_add_request(added))
    if deleted:
        requests.append(partitions.tenant_partitions.build_delete_request(deleted))
    return dg.SensorResult(
        dynamic_partitions_requests=requests,
        skip_reason=None if requests else f"{len(known)} tenants, all in step.",
    )
