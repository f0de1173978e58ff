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
    "--ingestor", "name", metavar="NAME", required=True, help="As the file that INGESTION_CONFIG_PATH names has it."
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
    """Show what is there of an ingestor, and how its last rounds went and why.

    A round is one reading of the registry or of a feed that found something new, was stopped or failed.
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
    names = {each.organization_id: each.name for each in live}
    show(
        f"Last rounds of {ingestor.name}, tenant {ingestor.tenant}",
        [
            *("of", "outcome", "at (UTC)", "shards", "groups", "products", "offers"),
            *("new", "changed", "unchanged", "gone", "rejected"),
        ],
        [
            (
                names.get(each.organization_id, each.organization_id) or "registry",
                *(each.outcome, each.finished_at, each.shards),
                *((each.groups, each.products, each.offers) if each.organization_id else (None, None, None)),
                *(each.new, each.changed, each.unchanged, each.gone, each.rejected),
            )
            for each in last
        ],
        empty=f"No round of {ingestor.name} yet: `cdp catalog ingest --ingestor {ingestor.name}` makes one.",
    )
    for each in last:
        if each.reason:
            of = names.get(each.organization_id, each.organization_id) or "registry"
            approved = f" Approved at {each.approved_at:%Y-%m-%d %H:%M} UTC." if each.approved_at else ""
            say(f"{of}: {each.reason}{approved}", label=f"{each.outcome}:", style="red")
    codes = [
        (names.get(each.organization_id, each.organization_id) or "registry", code, count)
        for each in last
        for code, count in each.rejected_by_code.items()
    ]
    if codes:
        show("Rejected", ["of", "code", "items"], codes, empty="")
        say(f"`cdp rejected list --tenant {ingestor.tenant}` shows each with its path.")
    remarks = [
        (names.get(each.organization_id, each.organization_id) or "registry", remark, count)
        for each in last
        for remark, count in each.remarks.items()
    ]
    if remarks:
        show("Noticed in items that were taken", ["of", "remark", "items"], remarks, empty="")


@catalog.command("approve")
@ingestor_option
@json_option
def catalog_approve(name: str, *, as_json: bool) -> None:
    """Let the next round remove as much as the one that was stopped would have.

    For a feed that is smaller on purpose. The sensor asks for that round; `cdp catalog ingest` does it at once.
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
    say(f"`cdp catalog ingest --ingestor {ingestor.name}` makes that round now.")


@catalog.command("ingest")
@ingestor_option
@json_option
def catalog_ingest(name: str, *, as_json: bool) -> None:
    """Take one ingestor's registry and feeds, in this process.

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
    """Run the room of the catalogue for these ingestors, neighbours in their file, on Dagster's own instance."""
    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration.in_process import run_job

    with dagster_instance() as instance:
        return run_job(build_definitions(), "catalog_ingest", instance, names)


def _a_number(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """NaN is between no two numbers, and no share would be greater than it."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number from 0 to 1.")
    return value


@catalog.command("cleanup")
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@click.option(
    "--max-share",
    type=click.FloatRange(0, 1),
    callback=_a_number,
    help="Share of a table that may go at once; 1 after a look at --dry-run. A half if not given.",
)
@json_option
def catalog_cleanup(*, dry_run: bool, max_share: float | None, as_json: bool) -> None:
    """Delete what is past its retention, of all active tenants; runs daily by itself.

    Products that were removed more than PRODUCT_RETENTION_DAYS ago, categories that nothing uses, rounds older than
    ROUND_RETENTION_DAYS. Exit code 1 if more would go of a tenant than may at once.
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
