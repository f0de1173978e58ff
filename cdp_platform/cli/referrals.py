"""Commands on referrals: `export-data`."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import click

from cdp_platform import settings
from cdp_platform.cli.printing import bars, json_option, say, show, show_json
from cdp_platform.cli.runs import dagster_instance, materialize, show_result
from cdp_platform.cli.tenants import require_active
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import locks, tenants
from cdp_platform.ops.gate import Gate
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import connect, tenant_transaction

# Columns of the table at the end of a run, as `show_result` takes them.
EXPORTED = {"added": "added", "changed": "changed", "removed": "removed"}
COUNTED = {"clicks": "clicks", "signups": "signups", "rate %": "click_to_signup_rate", "changed days": "changed_days"}


@click.command("export-data")
@click.option(
    "--type",
    "what",
    type=click.Choice(["all", "raw", "daily", "metrics"]),
    default="all",
    show_default=True,
    help="raw: the events; daily: the three summaries; all: both; metrics: only count the days, in the warehouse.",
)
@click.option("--tenant", "tenant_id", metavar="ID", help="Tenant; all that have a spreadsheet if not given.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option(
    "--sync",
    is_flag=True,
    expose_value=False,
    help="For older scripts; exports always run in this process.",
)
@json_option
def export_data(what: str, *, tenant_id: str | None, dry_run: bool, as_json: bool) -> None:
    """Bring a tenant's Google Sheets worksheets up to date.

    The worksheets of a tenant come from one snapshot of the database and change in one request. Rows that the
    spreadsheet already has are not written again. Runs in this process; exit code 1 if anything failed.
    """
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
        wanted = [tenants.get(connection, tenant_id)] if tenant_id else registered
    wanted = _usable(wanted, registered, named=bool(tenant_id), to_sheets=what != "metrics")
    _look_first(wanted, registered, to_sheets=what != "metrics")
    if dry_run:
        _show_differences(what, wanted, registered, as_json=as_json)
        return
    outcome = _count_days(wanted) if what == "metrics" else _export(what, wanted)
    if as_json:
        show_json(outcome)
    elif what == "metrics":
        show_result(outcome, COUNTED, subject="month and tenant")
    else:
        show_exports(outcome)
    if not outcome.success:
        raise click.exceptions.Exit(1)


def _usable(wanted: Sequence[Tenant], registered: Sequence[Tenant], *, named: bool, to_sheets: bool) -> list[Tenant]:
    from cdp_platform.referrals.spreadsheets import NONE, spreadsheet_of

    if not named:
        wanted = [tenant for tenant in wanted if tenant.active]
    for tenant in wanted:
        require_active(tenant)
    if not to_sheets:
        return list(wanted)
    default = settings.google().google_sheet_id
    able = [tenant for tenant in wanted if spreadsheet_of(tenant, registered, default)]
    if not able:
        who = f"Tenant {wanted[0].tenant_id}" if named else "No tenant can be exported"
        raise ConfigurationError(f"{who}: {NONE.format(wanted[0].tenant_id if wanted else 'ID')}.")
    return able


def _look_first(wanted: Sequence[Tenant], registered: Sequence[Tenant], *, to_sheets: bool) -> None:
    """Check that the outside systems of an export can be reached; one spreadsheet is checked for all."""
    from cdp_platform.health import looks

    looks.tracker()
    if to_sheets:
        looks.google(wanted[0], registered)


def count_and_export(wanted: list[Tenant]) -> Any:
    """Count the days of these tenants that events touched, then write all their worksheets."""
    counted = _count_days(wanted)
    return _export("all", wanted) if counted.success else counted


def show_exports(outcome: Any) -> None:
    """Print the table at the end of an export, and the addresses of the worksheets."""
    show_result(outcome, EXPORTED)
    show_links(outcome)


def show_links(outcome: Any) -> None:
    """Print the addresses of the worksheets of an export."""
    links = {made.metadata.get("spreadsheet"): made.partition for made in outcome.outcomes}
    for link, tenant_id in links.items():
        if link:
            say(f"Worksheets of {tenant_id}: {link}")


def _export(what: str, wanted: list[Tenant]) -> Any:
    from cdp_platform.referrals.defs.assets import WORKSHEETS, tracker_events

    keys = [tracker_events.key, *(WORKSHEETS[name].key for name in _names(what))]
    return materialize(wanted, "referrals_worksheets", assets=keys)


def _count_days(wanted: Sequence[Tenant]) -> Any:
    """Count, for each tenant, the present month and the months that events touched since they were counted."""
    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration import partitions
    from cdp_platform.orchestration.in_process import run_job, together
    from cdp_platform.referrals.defs.sensors import month_ranges, months_of

    with connect(settings.postgres()) as connection:
        rows = connection.execute("SELECT tenant_id, touched FROM referrals.waiting()").fetchall()
    touched: dict[str, list[datetime]] = dict(rows)
    months = {
        tenant.tenant_id: months_of(tenant, touched.get(tenant.tenant_id, [])) | {_this_month(tenant)}
        for tenant in wanted
    }
    with dagster_instance() as instance, bars() as progress:
        partitions.ensure(instance, wanted)
        definitions = build_definitions()
        return together(
            [
                run_job(definitions, "referrals_metrics", instance, ends, watcher=progress)
                for ends in month_ranges(partitions.known(instance), months)
            ]
        )


def _show_differences(what: str, wanted: Sequence[Tenant], registered: Sequence[Tenant], *, as_json: bool) -> None:
    """Print what an export would write now, or what counting would change."""
    if what == "metrics":
        _show_days(wanted, as_json=as_json)
        return
    from cdp_platform.referrals.export import export
    from cdp_platform.referrals.spreadsheets import spreadsheet_of
    from cdp_platform.resources.sheets import open_spreadsheet

    google = settings.google()
    found = {}
    for tenant in wanted:
        spreadsheet_id = spreadsheet_of(tenant, registered, google.google_sheet_id) or ""
        with (
            connect(settings.postgres()) as connection,
            open_spreadsheet(google, spreadsheet_id, gate=partial(Gate, connection)) as spreadsheet,
        ):
            found[tenant.tenant_id] = export(connection, tenant, spreadsheet, _names(what), dry_run=True)
    if as_json:
        show_json(found)
        return
    show(
        "What would be written",
        ["tenant", "worksheet", "rows now", "rows then", "added", "changed", "removed"],
        [
            (tenant_id, name, each.before, each.after, each.added, each.changed, each.removed)
            for tenant_id, result in found.items()
            for name, worksheet in result.worksheets.items()
            for each in [worksheet.difference]
        ],
        empty="There is nothing to export.",
    )
    for tenant_id, result in found.items():
        for name, worksheet in result.worksheets.items():
            for before, after in worksheet.difference.sample:
                _say_row(f"{tenant_id} {name}", "red", "-", before)
                _say_row(f"{tenant_id} {name}", "green", "+", after)
        if all(worksheet.unchanged for worksheet in result.worksheets.values()):
            say(f"{tenant_id}: the spreadsheet is up to date. {result.link}")


def _say_row(where: str, color: str, sign: str, row: Sequence[Any] | None) -> None:
    if row is not None:
        say(f"{where}: {' | '.join(map(str, row))}", label=sign, style=color)


def _show_days(wanted: Sequence[Tenant], *, as_json: bool) -> None:
    from cdp_platform.referrals import metrics

    found = {}
    with connect(settings.postgres()) as connection:
        for tenant in wanted:
            with tenant_transaction(connection, tenant.tenant_id), connection.transaction(force_rollback=True):
                locks.take(connection, locks.referral_days(tenant.tenant_id))
                found[tenant.tenant_id] = sorted(metrics.count_touched(connection, tenant).changed)
    if as_json:
        show_json(found)
        return
    show(
        "Days whose figures would change",
        ["tenant", "days", "first", "last"],
        [(tenant_id, len(days), f"{days[0]}", f"{days[-1]}") for tenant_id, days in found.items() if days],
        empty="The figures of all days are up to date.",
    )


def _names(what: str) -> list[str]:
    from cdp_platform.referrals.worksheets import COLUMNS, RAW_DATA

    return {"raw": [RAW_DATA], "daily": [name for name in COLUMNS if name != RAW_DATA]}.get(what, list(COLUMNS))


def _this_month(tenant: Tenant) -> date:
    return datetime.now(ZoneInfo(tenant.time_zone)).date().replace(day=1)
