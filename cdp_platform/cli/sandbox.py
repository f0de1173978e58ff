"""Commands on the embedded services: `sandbox`, `demo`, `up`, `down`. The only importer of `cdp_platform.sandbox`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cdp_platform import settings
from cdp_platform.cli.catalog import TAKEN, ingest
from cdp_platform.cli.data import keep_partitions_in_step, materialize, show_outcome
from cdp_platform.cli.embeddings import EMBEDDED
from cdp_platform.cli.printing import bars, console, json_option, show, show_json
from cdp_platform.cli.referrals import count_and_export, show_exports
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.sandbox.demo.model import Scale

SCALES = ["small", "default", "large", "full"]

# Fails in the demo, and shall: among few documents, the few that are broken on purpose are a large share.
_REJECTED_CHECK = "rejected_share"

# What is made of the synced rows, and the figures to show of it.
_AFTER_THE_SYNC = {
    "embeddings_update": EMBEDDED,
    "embeddings_audiences": {"clusters": "clusters", "segments": "segments", "written": "written"},
}


def _sandbox() -> Any:
    try:
        from cdp_platform.sandbox.lifecycle import Sandbox
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The sandbox needs {error.name}: install the platform with its extra, cdp_platform[sandbox]."
        ) from error
    return Sandbox(Path.cwd())


@click.group()
def sandbox() -> None:
    """The embedded PostgreSQL and stand-ins for other systems.

    Everything they store is in .sandbox/ of the current folder.
    """


@sandbox.command("start")
def sandbox_start() -> None:
    """Start what does not run.

    Writes a .env that points at it, if there is none.
    """
    box = _sandbox()
    addresses = box.start()
    console.print(f"PostgreSQL  {addresses.postgres}\nStand-ins   {addresses.services}")
    if not box.env_points_here():
        console.print("[yellow]warn[/] .env points elsewhere and was left alone: commands will not use the sandbox.")


@sandbox.command("stop")
def sandbox_stop() -> None:
    """Stop it; what it stored is kept."""
    _sandbox().stop()
    console.print("Stopped. `cdp sandbox start` goes on where it was.")


@sandbox.command("status")
@json_option
def sandbox_status(*, as_json: bool) -> None:
    """Show its parts, where they answer and since when. Exit code 1 if one does not run."""
    found = _sandbox().status()
    if as_json:
        show_json(found)
    else:
        show(
            "Sandbox",
            ["part", "running", "address", "pid", "since", "problem"],
            [(c.name, c.running, c.address, str(c.pid or "-"), c.since, c.problem) for c in found],
            empty="",
        )
    if not all(c.running for c in found):
        raise click.exceptions.Exit(1)


@sandbox.command("reset")
def sandbox_reset() -> None:
    """Stop it and delete all that it stored, and its .env."""
    _sandbox().reset()
    console.print("The sandbox is gone. `cdp sandbox start` makes a new one.")


@click.command()
@click.option("--scale", type=click.Choice(SCALES), default="default", show_default=True, help="How much demo data.")
def demo(scale: str) -> None:
    """Run everything once, on embedded services with demo data.

    Starts the sandbox, fills it with demo tenants, materializes all assets and shows the result. A second time it
    changes nothing.
    """
    from cdp_platform.catalog.config import configured

    registered = prepare(_sandbox(), scale)
    outcome = materialize(registered)
    show_outcome(outcome)
    failed = {each.check for each in outcome.checks if each.severity == "ERROR" and not each.passed}
    if outcome.errors or not all(check.endswith(f" {_REJECTED_CHECK}") for check in failed):
        raise click.exceptions.Exit(1)
    console.print("Some of the demo's documents are broken on purpose: those are the rejected ones.", highlight=False)
    if ingestors := [ingestor.name for ingestor in configured()]:
        taken = ingest(ingestors)
        show_outcome(taken, TAKEN, subject="ingestor")
        if not taken.success:
            raise click.exceptions.Exit(1)
    for job, figures in _AFTER_THE_SYNC.items():
        made = materialize(registered, job)
        show_outcome(made, figures)
        if not made.success:
            raise click.exceptions.Exit(1)
    exported = count_and_export([each for each in registered if each.settings.google_sheet_id])
    show_exports(exported)
    if not exported.success:
        raise click.exceptions.Exit(1)
    _show_customers(registered)
    console.print(
        "What to type next\n"
        "  make up                          the Dagster UI with schedules and sensors on\n"
        "  .venv/bin/cdp status             how far each tenant's data has come\n"
        "  .venv/bin/cdp rejected list      the broken documents of the demo\n"
        "  .venv/bin/cdp sync --tenant harbour --full\n"
        '  .venv/bin/cdp search "likes to travel" --tenant saigon --kind profile\n'
        "  .venv/bin/cdp catalog report --ingestor saigon-shops\n"
        "  .venv/bin/cdp export-data --tenant saigon --dry-run\n"
        "  make down                        stop everything",
        highlight=False,
    )


def prepare(box: Any, scale: str | None) -> list[tenants.Tenant]:
    """Sandbox running, schema migrated, demo tenants registered and their databases filled.

    Without a scale, demo tenants that are registered are left as they are, retired ones too.
    """
    from cdp_platform.sandbox.demo.model import TENANTS
    from cdp_platform.warehouse.migrate import migrate

    with console.status("Starting the sandbox"):
        box.start()
    if not box.env_points_here():
        raise ConfigurationError(
            "The environment or .env points at other services than this folder's sandbox, and the demo writes only to "
            "its own. Move .env away, or unset the PGSQL_, ARANGO_ and DAGSTER_ variables."
        )
    os.environ.update(box.environment())
    settings.forget()
    with console.status("Migrating the warehouse"):
        migrate(settings.postgres())
    demo_ids = {each.id for each in TENANTS}
    with connect(settings.postgres()) as connection:
        present = {each.tenant_id for each in tenants.registered(connection)}
    if scale or not demo_ids <= present:
        _fill(cast("Scale", scale or "default"))
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
    keep_partitions_in_step(registered)
    return [each for each in registered if each.tenant_id in demo_ids]


def _fill(scale: "Scale") -> None:
    """Write the demo tenants into the stand-in ArangoDB and register them."""
    from cdp_platform.sandbox.demo.fill import fill, reference_moment
    from cdp_platform.sandbox.demo.model import TENANTS
    from cdp_platform.sandbox.demo.referrals import fill_referrals
    from cdp_platform.sandbox.demo.spreadsheets import make_spreadsheets

    source = settings.arango()
    password = source.password.get_secret_value()
    with bars() as progress:
        watchers: dict[str, Any] = {}

        def watch(subject: str, done: int, total: int) -> None:
            tenant_id, _, collection = subject.partition("/")
            watcher = watchers.get(subject) or watchers.setdefault(subject, progress(tenant_id, f"fill {collection}"))
            watcher(done, total)

        fill(source.host, source.user, password, scale=scale, progress=watch)
    make_spreadsheets(settings.google().google_sheets_url)
    with connect(settings.postgres()) as connection:
        for each in TENANTS:
            own = {name: each.settings[name] for name in ("phone_region", "time_zone")}
            own |= {"google_sheet_id": each.spreadsheet}
            tenants.add(connection, each.id, name=each.name, arango_database=each.database, settings=own)
        fill_referrals(connection, scale, reference_moment(source.host, source.user, password))


def _show_customers(registered: list[tenants.Tenant]) -> None:
    rows: list[tuple[Any, ...]] = []
    with connect(settings.postgres()) as connection:
        for each in registered:
            with tenant_transaction(connection, each.tenant_id):
                rows += connection.execute(
                    """
                    SELECT m.tenant_id, coalesce(nullif(concat_ws(' ', p.first_name, p.last_name), ''), p.profile_id),
                           m.segment, m.currency,
                           m.freq_90d, m.last_purchase::date::text, m.clv_est::float8, m.experience_score::float8
                    FROM customers.customer_metrics AS m JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
                    WHERE m.last_purchase IS NOT NULL
                    ORDER BY m.clv_est DESC, m.profile_id LIMIT 3
                    """
                ).fetchall()
    show(
        "Customers of most value",
        ["tenant", "customer", "segment", "currency", "90 d", "last order", "lifetime value", "score"],
        rows,
        empty="No customer has bought anything.",
    )


@click.command()
@click.option("--scale", type=click.Choice(SCALES), help="Write this much demo data; default: what is there.")
def up(scale: str | None) -> None:
    """Serve the Dagster UI, with schedules and sensors on.

    Until Ctrl-C. Starts the sandbox, and fills it with demo tenants if it has none.
    """
    from cdp_platform.cli.serve import serve

    box = _sandbox()
    serve(box, lambda: prepare(box, scale))


@click.command()
def down() -> None:
    """Stop what `cdp up` serves, and the sandbox."""
    from cdp_platform.cli.serve import stop_serving

    box = _sandbox()
    stop_serving(box)
    box.stop()
    console.print("Everything is stopped. What was stored is kept; `cdp sandbox reset` deletes it.")
