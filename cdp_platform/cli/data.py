"""Commands on tenants and their tables: `tenant`, `sync`, `reconcile`."""

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from cdp_platform import settings, tenant_settings
from cdp_platform.cli.printing import bars, error_console, json_option, say, show, show_json
from cdp_platform.customers import jobs
from cdp_platform.customers.source import database_of
from cdp_platform.errors import ConfigurationError
from cdp_platform.health import dagster_home, looks
from cdp_platform.ops import tenants
from cdp_platform.resources.arango import ArangoDatabase
from cdp_platform.warehouse.connection import connect


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
@click.option("--no-database", is_flag=True, help="It has no ArangoDB database: its customers are not synced.")
@click.option("--phone-region", help="Region of phone numbers without country code; VN if not given.")
@click.option(
    "--shared-database/--own-database", default=None, help="Read only documents whose tenant_id is this tenant, or all."
)
@click.option("--time-zone", help="IANA name, such as Asia/Ho_Chi_Minh: where its days begin. UTC if not given.")
@click.option("--google-sheet-id", help="The spreadsheet of its worksheets; GOOGLE_SHEET_ID if not given.")
@click.option(
    "--full-ip/--masked-ip",
    "share_full_ip",
    default=None,
    help="What worksheets show of IP addresses; masked if unset.",
)
@json_option
def tenant_add(
    tenant_id: str, *, name: str | None, database: str | None, no_database: bool, as_json: bool, **given: Any
) -> None:
    """Register a tenant, change one, or take a retired one back.

    What is not given of a tenant that is known stays as it is.
    """
    if database and no_database:
        raise click.UsageError("--database and --no-database say opposite things: choose one.")
    own = tenant_settings.checked(tenant_id, {option: value for option, value in given.items() if value is not None})
    with connect(settings.postgres()) as connection, partition_keeper() as keep_in_step:
        known = {each.tenant_id for each in tenants.registered(connection)}
        new = tenants.add(
            connection,
            tenant_id,
            name=name,
            arango_database=""
            if no_database
            else database or (None if tenant_id in known else settings.arango().db or None),
            settings=own,
        )
        added = tenants.get(connection, tenant_id)
        note = keep_in_step(tenants.registered(connection))
    if as_json:
        show_json({"added": new, "tenant": added, "note": note})
        return
    say(f"{'Added' if new else 'Changed'} tenant {tenant_id}.")
    if note:
        say(note)


@tenant.command("list")
@json_option
def tenant_list(*, as_json: bool) -> None:
    """Show the tenants, active and retired."""
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
    if as_json:
        show_json(registered)
        return
    show(
        "Tenants",
        ["id", "name", "status", "ArangoDB database", "settings"],
        [
            (
                each.tenant_id,
                each.name,
                each.status,
                each.arango_database or "none",
                ", ".join(f"{setting}: {value}" for setting, value in each.stored_settings.items()) or "defaults",
            )
            for each in registered
        ],
        empty="No tenants yet: `cdp tenant add ID --database DB` makes one.",
    )


@tenant.command("retire")
@click.argument("tenant_id", metavar="ID")
@json_option
def tenant_retire(tenant_id: str, *, as_json: bool) -> None:
    """Stop requesting work for a tenant. Its rows stay; `cdp tenant add` takes it back."""
    with connect(settings.postgres()) as connection, partition_keeper() as keep_in_step:
        tenants.retire(connection, tenant_id)
        retired = tenants.get(connection, tenant_id)
        note = keep_in_step(tenants.registered(connection))
    if as_json:
        show_json({"tenant": retired, "note": note})
        return
    say(f"Retired tenant {tenant_id}. Its rows stay.")
    if note:
        say(note)


@contextmanager
def partition_keeper() -> Generator[Callable[[list[tenants.Tenant]], str]]:
    """What brings Dagster's partitions in step with the registered tenants; it returns a note, or ''.

    Dagster's storage is opened first: where it cannot be used, nothing is changed in the warehouse either. Where this
    shell does not know Dagster's home, the sensor brings them in step later.
    """
    if not os.environ.get("DAGSTER_HOME"):
        yield lambda _: "DAGSTER_HOME is not set: the sensor `tenant_registry` will bring Dagster's partitions in step."
        return
    from cdp_platform.orchestration import partitions

    with dagster_instance() as instance:

        def keep_in_step(registered: list[tenants.Tenant]) -> str:
            partitions.keep_in_step(instance, registered)
            return ""

        yield keep_in_step


@contextmanager
def dagster_instance() -> Generator[Any]:
    """Dagster's own instance where this shell knows Dagster's home, else one that lives as long as the command."""
    home = dagster_home.read()
    if home is not None and home.conninfo is not None:
        # Dagster itself would try for minutes, and takes seconds to import.
        looks.dagster_storage(home.conninfo)
    import dagster as dg

    from cdp_platform.orchestration import partitions
    from cdp_platform.orchestration.storage import first_reason, hide_statement_values

    hide_statement_values()
    if home is None:
        say(
            "DAGSTER_HOME is not set, so Dagster keeps no record of this: `cdp init` writes what a folder needs.",
            label="note:",
            style="yellow",
            to=error_console,
        )
        with dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
            yield instance
        return
    try:
        with _without_warnings():
            instance = dg.DagsterInstance.get()
            # The first words with its database; what is wrong with it comes up here.
            partitions.known(instance)
    except Exception as error:
        raise ConfigurationError(
            f"Dagster's own storage cannot be used: {first_reason(error)}. Is the server up (`cdp sandbox status` for "
            "the embedded one), and are DAGSTER_HOME, the dagster.yaml in it and the DAGSTER_PG_ variables right?"
        ) from error
    with instance:
        _end_lost_runs(instance)
        yield instance


def _end_lost_runs(instance: Any) -> None:
    """End runs of commands that were killed: they would hold up this one."""
    from cdp_platform.orchestration.lost_runs import end_lost

    with connect(settings.postgres()) as connection:
        for lease in end_lost(instance, connection):
            logging.getLogger(__name__).warning("Ended run %s of %s: that process is gone.", lease.run_id, lease)


@contextmanager
def _without_warnings() -> Generator[None]:
    """Dagster tells of each of its attempts to connect; the last one's error says the same once."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@click.command()
@tenant_option
@click.option(
    "--full", is_flag=True, help="Read every document and compute every customer again, not only what changed."
)
@click.option(
    "--segment",
    "segment_id",
    metavar="ID",
    help="Only the people of this segment, and what they bought; nobody if blank.",
)
@json_option
def sync(tenant_id: str, *, full: bool, segment_id: str | None, as_json: bool) -> None:
    """Bring one tenant's tables up to date, in this process.

    Profiles, transactions and metrics. Exit code 1 if a step or a check fails.
    """
    if full and segment_id is not None:
        raise click.UsageError("--full is about all documents and --segment about those of one segment: choose one.")
    config = {"full": full} if segment_id is None else {"segment_id": segment_id}
    _run_for(tenant_id, jobs.SYNC, as_json=as_json, full_metrics=full, **config)


@click.command()
@tenant_option
@click.option("--approve", is_flag=True, help="Close whatever is gone from the source, however much that is.")
@json_option
def reconcile(tenant_id: str, *, approve: bool, as_json: bool) -> None:
    """Compare all keys of a tenant's source and tables, and mend.

    Finds what was deleted in the source and what changed without a newer stamp; runs every night by itself. Where more
    than 5 % are gone (and more than 10), or all, nothing is closed and the exit code is 1, until a person approves.
    """
    _run_for(tenant_id, jobs.RECONCILE, as_json=as_json, reconcile=True, approve_deletes=approve)


def require_active(tenant: tenants.Tenant) -> None:
    """Refuse to work for a tenant that is retired."""
    if not tenant.active:
        raise ConfigurationError(
            f"Tenant {tenant.tenant_id} is retired; `cdp tenant add {tenant.tenant_id}` takes it back."
        )


def _run_for(tenant_id: str, job: str, *, as_json: bool, full_metrics: bool = False, **config: Any) -> None:
    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
    require_active(known)
    from cdp_platform.health import looks

    looks.arango(database_of(known), ArangoDatabase.version)
    ops = {f"customers__{name}": {"config": config} for name in ("cdp_profiles", "transactions")}
    ops["customers__customer_metrics"] = {"config": {"full": full_metrics}}
    outcome = materialize([known], job, ops)
    if as_json:
        show_json(outcome)
    else:
        show_outcome(outcome)
    if not outcome.success:
        raise click.exceptions.Exit(1)


# Dagster's own job, which has every asset.
ASSET_JOB = "__ASSET_JOB"


def materialize(
    wanted: list[tenants.Tenant],
    job: str = jobs.SYNC,
    ops: dict[str, Any] | None = None,
    assets: list[Any] | None = None,
) -> Any:
    """Run a job for these tenants, with progress bars, on Dagster's own instance where there is one.

    Args:
        wanted: whom for.
        job: of any room.
        ops: run configuration by op.
        assets: keys; of the job, only these.
    """
    with dagster_instance() as instance:
        from cdp_platform.build import build_definitions
        from cdp_platform.orchestration import partitions
        from cdp_platform.orchestration.in_process import run_job, together

        partitions.ensure(instance, wanted)
        # One run, unless partitions of tenants that nobody asked for lie between.
        stretches = partitions.ranges(partitions.known(instance), {each.tenant_id for each in wanted})
        with bars() as progress:
            definitions = build_definitions()
            return together(
                [
                    run_job(definitions, job, instance, keys, config=ops, assets=assets, watcher=progress)
                    for keys in stretches
                ]
            )


# Columns of the table at the end of a run, and the figures of a materialization that are in them.
SYNCED = {"new": "new", "changed": "changed", "closed": "closed_as_deleted", "rejected": "rejected_waiting"}


def show_outcome(outcome: Any, figures: Mapping[str, str] = SYNCED, *, subject: str = "tenant") -> None:
    """The table at the end of a run, and what its checks and errors say; ``subject`` is what its partitions are."""
    show(
        "Materialized",
        ["asset", subject, "rows", *figures, "seconds"],
        [
            (
                made.asset,
                made.partition,
                made.metadata.get("dagster/partition_row_count"),
                *(made.metadata.get(name) for name in figures.values()),
                float(made.metadata.get("seconds", 0)),
            )
            for made in sorted(outcome.outcomes, key=lambda made: made.partition)
        ],
        empty="Nothing was materialized.",
    )
    for note in dict.fromkeys(note for made in outcome.outcomes for note in _notes(made)):
        say(note)
    for check in outcome.checks:
        if not check.passed and check.partition:
            say(
                f"{check.partition} {check.check}: {check.description}",
                label=check.severity.lower(),
                style="red" if check.severity == "ERROR" else "yellow",
            )
    for error in outcome.errors:
        say(error, label="error:", style="red")


def _notes(made: Any) -> Iterator[str]:
    """What the figures in the table do not say: who was asked for, and what a comparison found."""
    found = made.metadata
    if "note" in found:
        yield f"{made.partition}: {found['note']}"
    if "skipped" in found:
        yield f"{made.partition} was skipped: {found['skipped']}."
    if "segment" in found and made.asset == "cdp_profiles":
        yield (
            f"Segment {found['segment']} of {made.partition}: {found['segment_members']:,} profiles are in it, "
            f"{found['segment_left']:,} left it since they were last read."
        )
    if "source_checksum" in found:
        keys = "the same keys" if found["source_checksum"] == found["target_checksum"] else "not the same keys"
        differences = [
            words
            for figure, words in (
                ("missing", f"{found['missing']:,} were missing here"),
                ("changed_unseen", f"{found['changed_unseen']:,} had changed unseen"),
                ("gone", f"{found['gone']:,} gone from the source, {found['closed_as_deleted']:,} of them closed"),
            )
            if found[figure]
        ]
        yield (
            f"{made.asset} of {made.partition}: {found['source_count']:,} documents in the source and "
            f"{found['target_count']:,} here, {keys}; {', '.join(differences) or 'nothing to mend'}."
        )
