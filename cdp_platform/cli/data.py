"""Commands on tenants and their data: `tenant`, `sync`, `rejected`."""

import os
from collections.abc import Callable
from typing import Any

import click
from rich.markup import escape

from cdp_platform import settings
from cdp_platform.cli.printing import bars, console, json_option, show, show_json
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse import rejected as rejected_records
from cdp_platform.warehouse import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction


def _default_tenant() -> str:
    return settings.platform().default_tenant_id


def tenant_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--tenant`, or the tenant of DEFAULT_TENANT_ID."""

    def given(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
        if tenant_id := value or _default_tenant():
            return tenant_id
        raise ConfigurationError("Which tenant? Name one with --tenant, or set DEFAULT_TENANT_ID.")

    return click.option(
        "--tenant", "tenant_id", metavar="ID", callback=given, help="Tenant; DEFAULT_TENANT_ID if not given."
    )(command)


@click.group()
def tenant() -> None:
    """Who the tenants are."""


@tenant.command("add")
@click.argument("tenant_id", metavar="ID")
@click.option("--name", help="What people call it; the id if not given.")
@click.option("--database", help="Its ArangoDB database; ARANGO_DB if not given.")
@click.option("--phone-region", default="VN", show_default=True, help="Region of phone numbers without country code.")
@click.option("--shared-database", is_flag=True, help="Read only documents whose tenant_id is this tenant.")
def tenant_add(
    tenant_id: str, *, name: str | None, database: str | None, phone_region: str, shared_database: bool
) -> None:
    """Register a tenant, or change one; a retired one becomes active again."""
    with connect(settings.postgres()) as connection:
        new = tenants.add(
            connection,
            tenant_id,
            name=name or tenant_id,
            arango_database=database or settings.arango().db,
            settings={"phone_region": phone_region, "shared_database": shared_database},
        )
        console.print(f"{'Added' if new else 'Changed'} tenant {tenant_id}.")
        keep_partitions_in_step(tenants.registered(connection))


@tenant.command("list")
@json_option
def tenant_list(*, as_json: bool) -> None:
    """Show the tenants, active and retired."""
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
    if as_json:
        show_json([{**vars(each), "settings": each.settings.model_dump()} for each in registered])
        return
    show(
        "Tenants",
        ["id", "name", "status", "ArangoDB database", "phone region"],
        [(t.tenant_id, t.name, t.status, t.arango_database, t.settings.phone_region) for t in registered],
        empty="No tenants yet: `cdp tenant add ID --database DB` makes one.",
    )


@tenant.command("retire")
@click.argument("tenant_id", metavar="ID")
def tenant_retire(tenant_id: str) -> None:
    """Stop requesting work for a tenant. Its rows stay; `cdp tenant add` takes it back."""
    with connect(settings.postgres()) as connection:
        tenants.retire(connection, tenant_id)
        console.print(f"Retired tenant {tenant_id}. Its rows stay.")
        keep_partitions_in_step(tenants.registered(connection))


def keep_partitions_in_step(registered: list[tenants.Tenant]) -> None:
    """Bring Dagster's partitions in step, where this shell knows Dagster's home; else the sensor does it."""
    if not os.environ.get("DAGSTER_HOME"):
        console.print("DAGSTER_HOME is not set: the sensor `tenant_registry` will bring Dagster's partitions in step.")
        return
    import dagster as dg

    from cdp_platform.orchestration import partitions

    with dg.DagsterInstance.get() as instance:
        partitions.keep_in_step(instance, registered)


@click.command()
@tenant_option
@click.option("--full", is_flag=True, help="Read every document again, not only those since the watermark.")
@json_option
def sync(tenant_id: str, *, full: bool, as_json: bool) -> None:
    """Bring one tenant's profiles, transactions and metrics up to date, in this process."""
    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
    if not known.active:
        raise ConfigurationError(f"Tenant {tenant_id} is retired; `cdp tenant add {tenant_id}` takes it back.")
    outcome = materialize([known], full=full)
    if as_json:
        show_json(outcome)
    else:
        show_outcome(outcome)
    if not outcome.success:
        raise click.exceptions.Exit(1)


def materialize(wanted: list[tenants.Tenant], *, full: bool = False) -> Any:
    """Run the room of customers for these tenants, with progress bars, on Dagster's own instance where there is one."""
    import dagster as dg

    from cdp_platform.build import build_definitions
    from cdp_platform.orchestration import partitions
    from cdp_platform.orchestration.in_process import run_job

    home = os.environ.get("DAGSTER_HOME")
    with dg.DagsterInstance.get() if home else dg.DagsterInstance.ephemeral() as instance:
        partitions.keep_in_step(instance, wanted)
        wanted_ids = {each.tenant_id for each in wanted}
        ordered = [tenant_id for tenant_id in partitions.known(instance) if tenant_id in wanted_ids]
        config = {f"customers__{name}": {"config": {"full": full}} for name in ("cdp_profiles", "transactions")}
        with bars() as progress:
            definitions = build_definitions({"progress": progress})
            return run_job(definitions, "customers_sync", instance, ordered, config=config)


def show_outcome(outcome: Any) -> None:
    """The table at the end of a run, and what its checks and errors say."""
    show(
        "Materialized",
        ["asset", "tenant", "rows", "new", "changed", "rejected", "seconds"],
        [
            (
                made.asset,
                made.tenant_id,
                made.metadata.get("dagster/partition_row_count"),
                made.metadata.get("new"),
                made.metadata.get("changed"),
                made.metadata.get("rejected_waiting"),
                float(made.metadata.get("seconds", 0)),
            )
            for made in sorted(outcome.outcomes, key=lambda made: made.tenant_id)
        ],
        empty="Nothing was materialized.",
    )
    for check in outcome.checks:
        if not check.passed and check.tenant_id:
            color = "red" if check.severity == "ERROR" else "yellow"
            console.print(
                f"[{color}]{check.severity.lower()}[/] {check.tenant_id} {check.check}: {check.description}",
                highlight=False,
                soft_wrap=True,
            )
    for error in outcome.errors:
        console.print(f"[red]error:[/] {escape(error)}", highlight=False, soft_wrap=True)


@click.group()
def rejected() -> None:
    """Source documents that could not be taken."""


@rejected.command("list")
@tenant_option
@json_option
def rejected_list(tenant_id: str, *, as_json: bool) -> None:
    """Show the documents that wait, and why. With --json the documents too."""
    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            records = rejected_records.waiting(connection, tenant_id)
    if as_json:
        show_json(records)
        return
    show(
        f"Rejected documents of {tenant_id}",
        ["source", "key", "code", "path", "message", "since (UTC)"],
        [(r.source, r.document_key, r.code, r.path, r.message, r.first_seen_at) for r in records],
        empty=f"No document of {tenant_id} waits.",
    )


@rejected.command("replay")
@tenant_option
@json_option
def rejected_replay(tenant_id: str, *, as_json: bool) -> None:
    """Try the waiting documents again, after the mapping or the tenant's settings were mended."""
    from cdp_platform.customers.replay import replay
    from cdp_platform.customers.source import TenantSource
    from cdp_platform.resources.arango import open_database

    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
        with open_database(settings.arango(), known.arango_database) as database:
            outcome = replay(connection, TenantSource(database, known), known)
    if as_json:
        show_json(outcome)
        return
    show(
        f"Replayed for {tenant_id}",
        ["source", "tried", "taken", "still rejected"],
        [(source, result.read, result.read - result.rejected, result.rejected) for source, result in outcome.items()],
        empty="Nothing waits.",
    )
