"""Commands on product catalogues: `catalog`."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.runs import dagster_instance, show_result
from cdp_platform.cli.tenants import require_active
from cdp_platform.errors import BlockedError, ConfigurationError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect

if TYPE_CHECKING:
    from cdp_platform.catalog.config import Ingestor

ingestor_option: Callable[..., Any] = click.option(
    "--ingestor",
    "name",
    metavar="NAME",
    required=True,
    help="Name of the ingestor in the file of INGESTION_CONFIG_PATH.",
)

# Columns of the table at the end of a run, as `show_result` takes them.
TAKEN = {"new": "new", "changed": "changed", "unchanged": "unchanged", "gone": "gone", "rejected": "rejected"}


@click.group()
def catalog() -> None:
    """Brand registries and product feeds."""


@catalog.command("report")
@ingestor_option
@json_option
def catalog_report(name: str, *, as_json: bool) -> None:
    """Show live rows of an ingestor, and how its rounds went.

    A round is one reading of the registry or of a feed that changed rows, was blocked or failed.
    """
    from cdp_platform.catalog import counts, rounds

    ingestor = _ingestor(name)
    with connect(settings.postgres()) as connection:
        tenants.get(connection, ingestor.tenant)
        last = rounds.last(connection, ingestor.tenant, ingestor.name)
        live = counts.live_rows(connection, ingestor)
    if as_json:
        show_json({"ingestor": ingestor.name, "tenant": ingestor.tenant, "live": live, "rounds": last})
        return
    names = {each.organization_id: each.name for each in live} | {rounds.REGISTRY: "registry"}
    named = [(names.get(each.organization_id, each.organization_id), each) for each in last]
    show(
        f"Last rounds of {ingestor.name}, tenant {ingestor.tenant}",
        [
            *("of", "outcome", "at (UTC)", "shards", "groups", "products", "offers"),
            *("new", "changed", "unchanged", "gone", "rejected"),
        ],
        [
            (
                of,
                *(each.outcome, each.finished_at, each.shards),
                *((each.groups, each.products, each.offers) if each.organization_id else (None, None, None)),
                *(each.new, each.changed, each.unchanged, each.gone, each.rejected),
            )
            for of, each in named
        ],
        empty=f"No round of {ingestor.name} yet: `cdp catalog ingest --ingestor {ingestor.name}` makes one.",
    )
    for of, each in named:
        if each.reason:
            approved = f" Approved at {each.approved_at:%Y-%m-%d %H:%M} UTC." if each.approved_at else ""
            say(f"{of}: {each.reason}{approved}", label=f"{each.outcome}:", style="red")
    codes = [(of, code, count) for of, each in named for code, count in each.rejected_by_code.items()]
    if codes:
        show("Rejected", ["of", "code", "items"], codes, empty="")
        say(f"`cdp rejected list --tenant {ingestor.tenant}` shows each with its path.")
    remarks = [(of, remark, count) for of, each in named for remark, count in each.remarks.items()]
    if remarks:
        show("Noticed in items that were taken", ["of", "remark", "items"], remarks, empty="")


@catalog.command("approve")
@ingestor_option
@json_option
def catalog_approve(name: str, *, as_json: bool) -> None:
    """Let the next round remove as much as the blocked one would have.

    For a feed that is smaller on purpose. The sensor asks for that round; `cdp catalog ingest` starts it at once.
    """
    from cdp_platform.catalog import rounds

    ingestor = _ingestor(name)
    with connect(settings.postgres()) as connection:
        approved = rounds.approve(connection, ingestor.tenant, ingestor.name)
    if as_json:
        show_json({"ingestor": ingestor.name, "tenant": ingestor.tenant, "approved": approved})
        return
    for each in approved:
        say(f"{each.organization_id}: the next round may remove what vanished from the feed.")
    say(f"`cdp catalog ingest --ingestor {ingestor.name}` starts that round now.")


@catalog.command("ingest")
@ingestor_option
@json_option
def catalog_ingest(name: str, *, as_json: bool) -> None:
    """Take the registry and the feeds of one ingestor, in this process.

    Exit code 1 if a step or a check fails.
    """
    from cdp_platform.health import looks

    ingestor = _ingestor(name)
    with connect(settings.postgres()) as connection:
        require_active(tenants.get(connection, ingestor.tenant))
    looks.registry(ingestor)
    outcome = ingest([ingestor.name])
    if as_json:
        show_json(outcome)
    else:
        show_result(outcome, TAKEN, subject="ingestor")
    if not outcome.success:
        raise click.exceptions.Exit(1)


def ingest(names: list[str]) -> Any:
    """Run `catalog_ingest` for these ingestors, which are neighbours in their file, on Dagster's own instance."""
    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration.in_process import run_job

    with dagster_instance() as instance:
        return run_job(build_definitions(), "catalog_ingest", instance, names)


def _a_number(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which click's range accepts and no share is greater than."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number from 0 to 1.")
    return value


@catalog.command("cleanup")
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@click.option(
    "--max-share",
    type=click.FloatRange(0, 1),
    callback=_a_number,
    help="Share of a table that may be deleted at once, by default 0.5. Look at --dry-run before you give 1.",
)
@json_option
def catalog_cleanup(*, dry_run: bool, max_share: float | None, as_json: bool) -> None:
    """Delete what is past its retention, of all tenants.

    It runs daily by itself. Products that were removed more than PRODUCT_RETENTION_DAYS ago, categories that
    nothing uses, rounds older than ROUND_RETENTION_DAYS. Exit code 1 if more of a tenant's table is due than may be
    deleted at once.
    """
    from cdp_platform.catalog import cleanup

    found: dict[str, list[cleanup.Cleaned]] = {}
    stopped: dict[str, str] = {}
    share = cleanup.MAX_SHARE if max_share is None else max_share
    with connect(settings.postgres()) as connection:
        for tenant in tenants.registered(connection):
            if not tenant.active:
                continue
            try:
                found[tenant.tenant_id] = cleanup.clean(connection, tenant.tenant_id, dry_run=dry_run, max_share=share)
            except BlockedError as error:
                stopped[tenant.tenant_id] = str(error)
    if as_json:
        show_json(
            {
                "dry_run": dry_run,
                "tenants": {name: [dataclasses.asdict(each) for each in tables] for name, tables in found.items()},
                "stopped": stopped,
            }
        )
    else:
        show(
            "What would be deleted" if dry_run else "Deleted",
            ["tenant", "table", "rows", "due", "deleted"],
            [
                (tenant_id, f"catalog.{each.table}", each.rows, each.due, each.deleted)
                for tenant_id, tables in found.items()
                for each in tables
                if each.due
            ],
            empty="Nothing is past its retention." if not stopped else "Nothing was deleted.",
        )
        for tenant_id, reason in stopped.items():
            say(f"{tenant_id}: {reason}", label="error:", style="red")
    if stopped:
        raise click.exceptions.Exit(1)


def _ingestor(name: str) -> "Ingestor":
    from cdp_platform.catalog.config import configured

    known = {each.name: each for each in configured()}
    if name in known:
        return known[name]
    if not known:
        raise ConfigurationError("There are no ingestors: set INGESTION_CONFIG_PATH to the file that lists them.")
    raise ConfigurationError(f"There is no ingestor {name!r}. There are: {', '.join(known)}.")
