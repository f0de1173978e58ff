"""Schedules are the safety net of sensors: they request the same work for all tenants, in as few runs as possible."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import dagster as dg

from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import partitions
from cdp_platform.orchestration.resources import WarehouseResource
from cdp_platform.orchestration.run_limits import MAX_RUNS

# Dagster gives this tag to each run that was requested with a key, and has no public name for it.
_RUN_KEY = "dagster/run_key"


def not_requested_before(instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest]) -> list[dg.RunRequest]:
    """The requests whose key no run has yet, however that run ended.

    Dagster itself compares the keys of a schedule within one tick only, so a key alone does not keep later ticks from
    asking for the same work.
    """
    return [
        request
        for request in requests
        if not instance.get_runs_count(dg.RunsFilter(tags={_RUN_KEY: str(request.run_key)}))
    ]


def net(
    name: str,
    job: Any,
    *,
    cron: str,
    description: str,
    subject: str,
    only: Callable[[list[Tenant]], list[Tenant]] = lambda registered: registered,
    run_config: dict[str, Any] | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that is on from the start and asks for a job for all tenants, at times in UTC.

    Args:
        name: of the schedule.
        job: that it asks for.
        cron: when.
        description: for the UI.
        subject: as of `for_all_tenants`, like `only` and `run_config`.
    """

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def when_due(
        context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        return for_all_tenants(context, warehouse, subject, only=only, run_config=run_config)

    return when_due


def for_all_tenants(
    context: dg.ScheduleEvaluationContext,
    warehouse: WarehouseResource,
    subject: str,
    *,
    only: Callable[[list[Tenant]], list[Tenant]] = lambda registered: registered,
    run_config: dict[str, Any] | None = None,
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run over all active tenants; more only where partitions of others lie between.

    Args:
        context: of the schedule.
        warehouse: where the tenants are registered.
        subject: keeps the run keys of different schedules at the same moment apart.
        only: leaves out those that there is no work for.
        run_config: of the runs, because a run over a range ignores the job's own configuration.
    """
    with warehouse.connect() as connection:
        active = {tenant.tenant_id for tenant in only(tenants.registered(connection)) if tenant.active}
    due: datetime = context.scheduled_execution_time
    requests = [
        dg.RunRequest(
            run_key=f"{subject}-{due.isoformat()}-{keys[0]}", tags=partitions.range_tags(keys), run_config=run_config
        )
        for keys in partitions.ranges(partitions.known(context.instance), active, at_most=MAX_RUNS)
    ]
    return requests or dg.SkipReason("There is no tenant to do this for: `cdp tenant add` makes one.")
