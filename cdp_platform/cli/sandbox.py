"""Commands on the embedded services: `sandbox`, `demo`, `up`, `down`. The only importer of `cdp_platform.sandbox`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cdp_platform import settings
from cdp_platform.cli.catalog import TAKEN, ingest
from cdp_platform.cli.data import SYNCED, materialize, partition_keeper, show_outcome
from cdp_platform.cli.embeddings import EMBEDDED
from cdp_platform.cli.printing import bars, error_console, json_option, say, show, show_json
from cdp_platform.cli.referrals import EXPORTED, count_and_export, show_links
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.sandbox.demo.model import Scale

_BEST = ["tenant", "currency", "customer", "orders", "spend", "expected in a year", "alive %"]
SCALES = ["small", "default", "large", "full"]

# Fails in the demo, and shall: among few documents, the few that are broken on purpose are a large share.
_REJECTED_CHECK = "rejected_share"

_SYNC, _EXPORT = "customers_sync", "referrals_worksheets"

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
@json_option
def sandbox_start(*, as_json: bool) -> None:
    """Start what does not run.

    Writes a .env that points at it, if there is none.
    """
    box = _sandbox()
    addresses = box.start()
    used = box.env_points_here()
    if as_json:
        show_json({"postgres": addresses.postgres, "stand_ins": addresses.services, "used_by_commands": used})
        return
    say(f"PostgreSQL  {addresses.postgres}\nStand-ins   {addresses.services}")
    if not used:
        say(
            ".env points elsewhere and was left alone: commands will not use the sandbox.",
            label="warn",
            style="yellow",
        )


@sandbox.command("stop")
@json_option
def sandbox_stop(*, as_json: bool) -> None:
    """Stop it; what it stored is kept."""
    _sandbox().stop()
    _confirm("Stopped. `cdp sandbox start` goes on where it was.", "stopped", as_json=as_json)


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
@json_option
def sandbox_reset(*, as_json: bool) -> None:
    """Stop it and delete all that it stored, and its .env."""
    _sandbox().reset()
    _confirm("The sandbox is gone. `cdp sandbox start` makes a new one.", "deleted", as_json=as_json)


def _confirm(words: str, state: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"state": state})
    else:
        say(words)


@click.command()
@click.option("--scale", type=click.Choice(SCALES), default="default", show_default=True, help="How much demo data.")
@json_option
def demo(scale: str, *, as_json: bool) -> None:
    """Run everything once, on embedded services with demo data.

    Starts the sandbox, fills it with demo tenants, materializes all assets and shows the result. A second time it
    changes nothing.
    """
    registered = prepare(_sandbox(), scale)
    runs = {}
    for job, subject, figures, outcome in _everything(registered):
        runs[job] = outcome
        if not as_json:
            show_outcome(outcome, figures, subject=subject)
        if not _as_it_should_be(outcome):
            if as_json:
                show_json({"runs": runs})
            raise click.exceptions.Exit(1)
        if not as_json and job == _SYNC:
            say("Some of the demo's documents are broken on purpose: those are the rejected ones.")
    best = _best_customers(registered)
    if as_json:
        show_json({"runs": runs, "customers_of_most_value": [dict(zip(_BEST, row, strict=True)) for row in best]})
        return
    show_links(runs[_EXPORT])
    show("Customers of most value, by currency", _BEST, best, empty="No customer has bought anything.")
    say(
        "What to type next\n"
        "  make up                          the Dagster UI with schedules and sensors on\n"
        "  .venv/bin/cdp status             how far each tenant's data has come\n"
        "  .venv/bin/cdp rejected list      the broken documents of the demo\n"
        "  .venv/bin/cdp sync --tenant harbour --full\n"
        '  .venv/bin/cdp search "likes to travel" --tenant saigon --kind profile\n'
        "  .venv/bin/cdp catalog report --ingestor saigon-shops\n"
        "  .venv/bin/cdp export-data --tenant saigon --dry-run\n"
        "  make down                        stop everything"
    )


def _everything(registered: list[tenants.Tenant]) -> Iterator[tuple[str, str, Mapping[str, str], Any]]:
    """Run all jobs in turn; yields each one's name, what its partitions are, the figures to show, and its outcome."""
    from cdp_platform.catalog.config import configured

    yield _SYNC, "tenant", SYNCED, materialize(registered)
    if ingestors := [ingestor.name for ingestor in configured()]:
        yield "catalog_ingest", "ingestor", TAKEN, ingest(ingestors)
    for job, figures in _AFTER_THE_SYNC.items():
        yield job, "tenant", figures, materialize(registered, job)
    yield _EXPORT, "tenant", EXPORTED, count_and_export([each for each in registered if each.settings.google_sheet_id])


def _as_it_should_be(outcome: Any) -> bool:
    failed = {each.check for each in outcome.checks if each.severity == "ERROR" and not each.passed}
    return not outcome.errors and all(check.endswith(f" {_REJECTED_CHECK}") for check in failed)


def prepare(box: Any, scale: str | None) -> list[tenants.Tenant]:
    """Sandbox running, schema migrated, demo tenants registered and their databases filled.

    Without a scale, demo tenants that are registered are left as they are, retired ones too.
    """
    from cdp_platform.sandbox.demo.model import TENANTS
    from cdp_platform.warehouse.migrate import migrate

    with error_console.status("Starting the sandbox"):
        box.start()
    if not box.env_points_here():
        raise ConfigurationError(
            "The environment or .env points at other services than this folder's sandbox, and the demo writes only to "
            "its own. Move .env away, or unset the PGSQL_, ARANGO_ and DAGSTER_ variables."
        )
    os.environ.update(box.environment())
    settings.forget()
    with error_console.status("Migrating the warehouse"):
        migrate(settings.postgres())
    demo_ids = {each.id for each in TENANTS}
    with connect(settings.postgres()) as connection:
        present = {each.tenant_id for each in tenants.registered(connection)}
    if scale or not demo_ids <= present:
        _fill(cast("Scale", scale or "default"))
    with connect(settings.postgres()) as connection:
        registered = tenants.registered(connection)
    with partition_keeper() as keep_in_step:
        keep_in_step(registered)
    return [each for each in registered if each.tenant_id in demo_ids]


def _fill(scale: "Scale") -> None:
    """Write the demo tenants into the stand-in ArangoDB and register them."""
    from cdp_platform.sandbox.demo.fill import fill, reference_moment
    from cdp_platform.sandbox.demo.model import TENANTS, VALUED_AT
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
            tenants.add(connection, each.id, name=each.title, arango_database=each.database, settings=own)
            with tenant_transaction(connection, each.id):
                connection.cursor().executemany(
                    "INSERT INTO customers.tenant_metrics_config (tenant_id, currency, cac, clv_happy_threshold)"
                    " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    [(each.id, currency, *amounts) for currency, amounts in VALUED_AT.items()],
                )
        fill_referrals(connection, scale, reference_moment(source.host, source.user, password))


def _best_customers(registered: list[tenants.Tenant]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with connect(settings.postgres()) as connection:
        for each in registered:
            with tenant_transaction(connection, each.tenant_id):
                rows += connection.execute(
                    # Ranked within a currency: amounts in different ones cannot be compared.
                    """
                    SELECT r.tenant_id, r.currency,
                           coalesce(nullif(concat_ws(' ', p.first_name, p.last_name), ''), p.profile_id),
                           r.orders, r.spend::float8, r.expected_spend_365d::float8, 100 * r.probability_alive
                    FROM (
                        SELECT *, row_number() OVER (PARTITION BY currency
                            ORDER BY expected_spend_365d DESC NULLS LAST, spend DESC, profile_id) AS place
                        FROM customers.customer_value WHERE orders > 0 AND currency <> 'XXX'
                    ) AS r JOIN customers.cdp_profiles AS p USING (tenant_id, profile_id)
                    WHERE r.place <= 3 ORDER BY r.currency, r.place
                    """
                ).fetchall()
    return rows


@click.command()
@click.option("--scale", type=click.Choice(SCALES), help="Write this much demo data; default: what is there.")
@json_option
def up(scale: str | None, *, as_json: bool) -> None:
    """Serve the Dagster UI, with schedules and sensors on.

    Until Ctrl-C. Starts the sandbox, and fills it with demo tenants if it has none.
    """
    from cdp_platform.cli.serve import serve

    box = _sandbox()
    if not (box.root / "workspace.yaml").exists():
        raise ConfigurationError("This folder has no workspace.yaml: `cdp init` writes what a folder needs.")
    serve(box, lambda: prepare(box, scale), as_json=as_json)


@click.command()
@json_option
def down(*, as_json: bool) -> None:
    """Stop what `cdp up` serves, and the sandbox."""
    from cdp_platform.cli.serve import stop_serving

    box = _sandbox()
    stop_serving(box)
    box.stop()
    _confirm(
        "Everything is stopped. What was stored is kept; `cdp sandbox reset` deletes it.", "stopped", as_json=as_json
    )
