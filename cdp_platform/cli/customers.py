"""Commands that bring customers from their source into the warehouse: `sync`, `reconcile`."""

from typing import Any

import click

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, show_json
from cdp_platform.cli.runs import materialize, show_result
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.customers import jobs
from cdp_platform.customers.source import database_of
from cdp_platform.health import looks
from cdp_platform.ops import tenants
from cdp_platform.resources.arango import ArangoDatabase
from cdp_platform.warehouse.connection import connect

# Columns of the table at the end of a run, and the metadata shown in them.
SYNCED = {"new": "new", "changed": "changed", "closed": "closed_as_deleted", "rejected": "rejected_waiting"}


@click.command()
@tenant_option
@click.option(
    "--full", is_flag=True, help="Read every document and compute every customer again, not only what changed."
)
@click.option(
    "--segment",
    "segment_id",
    metavar="ID",
    help="Only the profiles of this segment, and their transactions; nobody if blank.",
)
@json_option
def sync(tenant_id: str, *, full: bool, segment_id: str | None, as_json: bool) -> None:
    """Bring one tenant's tables up to date, in this process.

    Profiles, transactions, segments and metrics. Exit code 1 if a step or a check fails.
    """
    if full and segment_id is not None:
        raise click.UsageError("--full is about all documents and --segment about those of one segment: choose one.")
    config = {"full": full} if segment_id is None else {"segment_id": segment_id}
    _run_for(tenant_id, jobs.SYNC, as_json=as_json, full_metrics=full, **config)


@click.command()
@tenant_option
@click.option("--approve", is_flag=True, help="Close all rows that are gone from the source, even if they are many.")
@json_option
def reconcile(tenant_id: str, *, approve: bool, as_json: bool) -> None:
    """Compare a tenant's tables with the source, and correct them.

    Finds deletes, and changes that did not update the timestamp. Runs every night by itself. If more than 5 % (and more
    than 10) are gone, or all, nothing is closed and the exit code is 1, until a person approves.
    """
    _run_for(tenant_id, jobs.RECONCILE, as_json=as_json, reconcile=True, approve_deletes=approve)


def _run_for(tenant_id: str, job: str, *, as_json: bool, full_metrics: bool = False, **config: Any) -> None:
    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
    require_active(known)
    looks.arango(database_of(known), ArangoDatabase.version)
    ops = {f"customers__{name}": {"config": config} for name in ("cdp_profiles", "transactions")}
    of_all = {name: value for name, value in config.items() if name != "segment_id"}
    ops["customers__cdp_segments"] = {"config": of_all}
    ops["customers__customer_metrics"] = {"config": {"full": full_metrics}}
    outcome = materialize([known], job, ops)
    if as_json:
        show_json(outcome)
    else:
        show_result(outcome, SYNCED)
    if not outcome.success:
        raise click.exceptions.Exit(1)
