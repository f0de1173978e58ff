"""The assets of the room: the tracker's events, the metrics of each day, and the four worksheets.

The work itself is in `tracker`, `metrics`, `worksheets` and `export`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field

from cdp_platform import settings
from cdp_platform.ops import tenants
from cdp_platform.ops.tenants import Tenant
from cdp_platform.orchestration import progress
from cdp_platform.orchestration.failures import IO_RETRIES
from cdp_platform.orchestration.metadata import counts, table
from cdp_platform.orchestration.partitions import TENANTS, tenant_partitions
from cdp_platform.orchestration.resources import SpreadsheetResource, WarehouseResource
from cdp_platform.orchestration.tenant_runs import Made, for_each_partition, for_each_tenant
from cdp_platform.referrals import metrics
from cdp_platform.referrals.defs.resources import TrackerResource
from cdp_platform.referrals.export import ExportResult, WorksheetResult, export
from cdp_platform.referrals.spreadsheets import NONE, spreadsheet_of
from cdp_platform.referrals.tracker import pull, row_counts
from cdp_platform.referrals.worksheets import CAMPAIGN_SUMMARY, OFFICER_SUMMARY, RAW_DATA, TIME_SERIES

GROUP = "referrals"
OWNERS = ["team:customer-data"]

# The first partition; it also has all months before it.
FIRST_MONTH = date(2020, 1, 1)
MONTH = "month"

# Two more months than are over in UTC: the present one, and the next one, which begins earlier in eastern time zones.
month_partitions = dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH.isoformat(), end_offset=2)
tenant_months = dg.MultiPartitionsDefinition({TENANTS: tenant_partitions, MONTH: month_partitions})

_ROOM: dict[str, Any] = {"key_prefix": GROUP, "group_name": GROUP, "owners": OWNERS, "retry_policy": IO_RETRIES}


tracker_database = dg.AssetSpec(
    ["tracker", "events"],
    description="Officers, campaigns, links, clicks and signups as the tracker application keeps them: in the database "
    "that REFERRAL_DATABASE_URL names, or written by the tracker into the warehouse itself. Not ours.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    partitions_def=tenant_partitions,
)


class TrackerConfig(dg.Config):
    """Which events to read. By default, those that the tracker ingested since the last run."""

    full: bool = Field(
        False,
        description="Read every event again: after the tracker's database was restored, or changed rows without a new "
        "ingested_at.",
    )


@dg.asset(
    **_ROOM,
    kinds={"postgres"},
    partitions_def=tenant_partitions,
    deps=[tracker_database],
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=table("referrals.click_event"),
)
def tracker_events(
    context: dg.AssetExecutionContext,
    config: TrackerConfig,
    warehouse: WarehouseResource,
    tracker: TrackerResource,
) -> dg.MaterializeResult:
    """Officers, campaigns, links, clicks and signups, as the tracker application writes them.

    If REFERRAL_DATABASE_URL names the tracker's own database, this copies what is new there. Otherwise the tracker
    writes into the tables of the warehouse itself, and this only counts rows. What the tracker deletes is not deleted
    here.
    """

    def work(connection: psycopg.Connection, tenant: Tenant) -> Mapping[str, Any]:
        figures: dict[str, Any] = {}
        if tracker.is_set:
            shown = progress.of(tenant.tenant_id, "tracker_events")
            pulled = pull(connection, tracker.open, tenant.tenant_id, full=config.full, progress=shown)
            figures = {
                "read": pulled.read,
                "new": pulled.new,
                "changed": pulled.changed,
                "rejected": pulled.rejected_by_code.total(),
                "rejected_by_code": counts("reason", pulled.rejected_by_code),
            }
        held = row_counts(connection, tenant.tenant_id)
        return {"dagster/partition_row_count": held["click_event"] + held["signup_event"], **held, **figures}

    return for_each_tenant(context, warehouse, work)


@dg.asset(
    **_ROOM,
    kinds={"postgres"},
    partitions_def=tenant_months,
    backfill_policy=dg.BackfillPolicy.single_run(),
    # Dagster maps a tenant to all its months by itself, here and for the worksheets.
    deps=[tracker_events],
    metadata=table("referrals.daily_metrics"),
)
def daily_metrics(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult:
    """One row per link and day with an event: clicks and signups, those flagged as fraud beside them, and the rate.

    A partition is a month of a tenant, in the tenant's time zone; all its days are counted again. Any month can be
    counted at any time; only rows whose figures changed are written.
    """

    def of_month(key: str) -> Iterator[Made]:
        month, tenant_id = key.split("|")
        with warehouse.connect() as connection:
            tenant = tenants.get(connection, tenant_id)
            if not tenant.active:
                yield context.asset_key, {"skipped": "the tenant is retired"}
                return
            first, end = days_of(date.fromisoformat(month))
            counted = metrics.count_days(connection, tenant, first, end)
            yield context.asset_key, _month_figures(connection, tenant, first, end, len(counted.changed))

    (result,) = for_each_partition(context, of_month)
    return result


def _month_figures(
    connection: psycopg.Connection, tenant: Tenant, first: date, end: date, changed_days: int
) -> dict[str, Any]:
    found = asdict(metrics.totals(connection, tenant, first, end))
    return {"dagster/partition_row_count": found.pop("rows"), **found, "changed_days": changed_days}


def days_of(month: date) -> tuple[date, date]:
    """The first day of a partition, and the day after its last."""
    end = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return (month if month > FIRST_MONTH else date.min), end


def _worksheet(name: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        [GROUP, name.lower()],
        description=description,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"googlesheets"},
        partitions_def=tenant_partitions,
        deps=[tracker_events if name == RAW_DATA else daily_metrics],
        metadata={"worksheet": name},
    )


WORKSHEETS = {
    RAW_DATA: _worksheet(
        RAW_DATA,
        "One row per click and signup, each appended once. E-mail addresses are salted hashes, IP addresses two octets "
        "unless the tenant shares them whole. When the tab is full, rows go on in Tracker_Raw_Data_2.",
    ),
    OFFICER_SUMMARY: _worksheet(OFFICER_SUMMARY, "One row per officer: clicks, signups and rate of all days."),
    CAMPAIGN_SUMMARY: _worksheet(
        CAMPAIGN_SUMMARY, "One row per campaign: clicks, signups, rate, and signups per day of the campaign so far."
    ),
    TIME_SERIES: _worksheet(
        TIME_SERIES, "One row per day, from 90 days ago to today, by the tenant's time zone; days without events too."
    ),
}


tenant_spreadsheet = dg.AssetSpec(
    ["google_sheets", "spreadsheet"],
    description="A tenant's spreadsheet at Google, as people open it: the platform's worksheets, and people's own "
    "tabs, which the platform never touches. Not ours.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"googlesheets"},
    partitions_def=tenant_partitions,
    deps=list(WORKSHEETS.values()),
)


@dg.multi_asset(
    name="referrals__worksheets",
    specs=list(WORKSHEETS.values()),
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=IO_RETRIES,
    can_subset=True,
    # All runs share the quota of one account: a second run would only wait.
    pool="google_sheets",
)
def worksheets(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    spreadsheets: SpreadsheetResource,
) -> Iterator[dg.MaterializeResult]:
    """The selected worksheets of a tenant from one snapshot of the database, changed in one request.

    An export first counts the days that events touched, so that all worksheets agree, and reports the months of
    ``daily_metrics`` that it changed.
    """
    default = settings.google().google_sheet_id
    selected = {name: spec.key for name, spec in WORKSHEETS.items() if spec.key in context.selected_asset_keys}

    def of_tenant(tenant_id: str) -> Iterator[Made]:
        with warehouse.connect() as connection:
            everybody = tenants.registered(connection)
            tenant = tenants.get(connection, tenant_id)
            skipped = None if tenant.active else "the tenant is retired"
            spreadsheet_id = None if skipped else spreadsheet_of(tenant, everybody, default)
            if spreadsheet_id is None:
                yield from ((key, {"skipped": skipped or NONE.format(tenant_id)}) for key in selected.values())
                return
            with spreadsheets.open(spreadsheet_id, connection) as spreadsheet:
                done = export(
                    connection,
                    tenant,
                    spreadsheet,
                    selected,
                    progress=progress.of(tenant_id, "worksheets"),
                    counted=lambda days: _report_counted(context, connection, tenant, days),
                )
        for name, key in selected.items():
            yield key, _figures(done, done.worksheets[name])

    yield from for_each_partition(context, of_tenant)


def _report_counted(
    context: dg.AssetExecutionContext, connection: psycopg.Connection, tenant: Tenant, days: Collection[date]
) -> None:
    """Report the months whose figures an export changed. At once, since they stay changed if the export fails."""
    for month, changed_days in Counter(max(day.replace(day=1), FIRST_MONTH) for day in sorted(days)).items():
        context.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                daily_metrics.key,
                partition=dg.MultiPartitionKey({MONTH: str(month), TENANTS: tenant.tenant_id}),
                metadata={
                    **_month_figures(connection, tenant, *days_of(month), changed_days),
                    "run": dg.MetadataValue.dagster_run(context.run.run_id),
                },
            )
        )


def _figures(done: ExportResult, worksheet: WorksheetResult) -> dict[str, Any]:
    difference = worksheet.difference
    return {
        "dagster/partition_row_count": worksheet.rows,
        "spreadsheet": dg.MetadataValue.url(done.link),
        "added": difference.added,
        "changed": difference.changed,
        "removed": difference.removed,
        "written": not worksheet.unchanged,
        "edited_meanwhile": worksheet.edited,
        "checksum": worksheet.checksum,
        "snapshot_at": done.snapshot_at.isoformat(),
        "export_id": str(done.export_id),
        # These are of the whole export.
        "cells_cut": done.cells_cut,
        "read_requests": done.reads,
        "write_requests": done.writes,
    }
