"""The daily job that deletes records past their time, the platform's and Dagster's own."""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from cdp_platform import settings
from cdp_platform.ops import retention, tenants
from cdp_platform.ops.retention import Kept, RetentionResult
from cdp_platform.orchestration import dagster_retention
from cdp_platform.orchestration.failures import IO_RETRIES, describe, of_several
from cdp_platform.orchestration.resources import WarehouseResource


def retention_schedule(
    kept: Callable[[], Sequence[Kept]], dagster_conninfo: Callable[[], str | None]
) -> dg.ScheduleDefinition:
    """A schedule with its job.

    Args:
        kept: returns what all rooms keep how long; called when the job runs.
        dagster_conninfo: returns how to connect to the PostgreSQL of Dagster, None if it uses none; called likewise.
    """

    @dg.op(retry_policy=IO_RETRIES)
    def delete_old_records(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
        done: dict[str, list[RetentionResult]] = {}
        failed: dict[str, Exception] = {}
        with warehouse.connect() as connection:
            tenant_ids = [tenant.tenant_id for tenant in tenants.registered(connection)]
        for tenant_id in tenant_ids:
            try:
                with warehouse.connect() as connection:
                    done[tenant_id] = retention.clean(connection, tenant_id, kept(), dry_run=False)
            except Exception as error:
                context.log.error("%s: %s", tenant_id, describe(error))
                failed[tenant_id] = error
        if failed:
            raise of_several(failed, _metadata(done)) from None
        context.add_output_metadata(_metadata(done))

    @dg.op(retry_policy=IO_RETRIES)
    def delete_old_runs(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> None:
        days = settings.retention()
        conninfo = dagster_conninfo()
        if conninfo is None:
            context.log.info("Dagster keeps its runs outside PostgreSQL. None are deleted.")
            return
        with warehouse.connect() as connection:
            everybody = [tenant.tenant_id for tenant in tenants.registered(connection)]
            named = retention.named_runs(connection, everybody)
        found = dagster_retention.clean(
            context.instance, conninfo, days.run_retention_days, named, dry_run=not days.run_retention_deletes
        )
        context.add_output_metadata(_metadata_of_dagster(found))

    @dg.job(
        name="retention",
        description="Deletes records that are past their time, of all tenants: resolved rejected records, "
        "reconciliations, completed embedding jobs, daily usage, ended exports, deliveries of ended events. "
        "Dagster's finished runs and their events too, if RUN_RETENTION_DELETES is true; else counts those. "
        "`cdp retention` counts all.",
    )
    def retention_job() -> None:
        delete_old_records()
        delete_old_runs()

    return dg.ScheduleDefinition(
        name="retention_daily",
        job=retention_job,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every day at 06:00 UTC, after the work of the night.",
    )


def _metadata(done: Mapping[str, Sequence[RetentionResult]]) -> dict[str, dg.MetadataValue | int]:
    lines = [
        f"| {tenant_id} | {each.table} | {each.days:,} | {each.due:,} | {each.deleted:,} |"
        for tenant_id, tables in done.items()
        for each in tables
        if each.due
    ]
    header = ["| tenant | table | days | due | deleted |", "|---|---|---|---|---|"]
    table = "\n".join([*header, *lines]) if lines else "Nothing is past its time."
    deleted = sum(each.deleted for tables in done.values() for each in tables)
    return {"deleted": dg.MetadataValue.md(table), "rows_deleted": deleted}


def _metadata_of_dagster(found: Sequence[RetentionResult]) -> dict[str, dg.MetadataValue | int]:
    lines = [
        f"| {each.table} | {each.rows} | {each.days:,} | {each.due:,} | {each.deleted:,} |"
        for each in found
        if each.due
    ]
    header = ["| table | rows | days | due | deleted |", "|---|---|---|---|---|"]
    table = "\n".join([*header, *lines]) if lines else "Nothing is past its time."
    return {"deleted": dg.MetadataValue.md(table), "rows_deleted": sum(each.deleted for each in found)}
