"""`backup` and `restore`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cdp_platform import settings
from cdp_platform.cli.printing import error_console, json_option, say, show_json
from cdp_platform.cli.runs import dagster_instance
from cdp_platform.errors import ConfigurationError


@click.command()
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), required=True, help="A new folder, in which the backup is made."
)
@json_option
def backup(folder: Path, *, as_json: bool) -> None:
    """Back up the warehouse and Dagster's database.

    They may be in use. The backup is done when the dump was compared with the database, rows of each table and tenant.
    Only then the folder has a manifest.json. It holds personal data: keep it like the warehouse.
    """
    from cdp_platform.backup.make import make
    from cdp_platform.customers import erasure_journal

    configured, dagster = settings.postgres(), _dagster()
    if erasure_journal.configured() is None:
        _tell("ERASURE_JOURNAL is not set: a restore will not know who was erased after this backup.")
    made = make(configured, folder, dagster=dagster, tell=_tell)
    tables = made.warehouse.tables
    rows = sum(each.rows for by_tenant in tables.values() for each in by_tenant.values())
    if as_json:
        show_json(
            {
                "folder": str(folder),
                "made_at": made.made_at,
                "revision": made.revision,
                "tables": len(tables),
                "rows": rows,
                "dagster": made.dagster is not None,
            }
        )
        return
    also = " and Dagster's database" if made.dagster else ", without Dagster's database: its runs are not in PostgreSQL"
    say(f"Backed up {rows:,} rows in {len(tables)} tables of the warehouse{also} into {folder}.")


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="The folder of a backup.",
)
@click.option(
    "--no-erasures",
    is_flag=True,
    help="Nobody was erased since the backup, or you erase them again by their receipts before anything else.",
)
@json_option
def restore(folder: Path, *, no_erasures: bool, as_json: bool) -> None:
    """Restore a backup into new, empty databases.

    The platform is refused until all is done: what was restored is compared with the manifest, persons who were erased
    since are erased again (ERASURE_JOURNAL), and messages, exports and paid calls that may have been done since become
    unknown, so that nothing is done twice. Stop webserver, daemon and `cdp serve` before.
    """
    from cdp_platform.backup.restore import restore as run
    from cdp_platform.customers import erasure_journal

    journal = None if no_erasures else erasure_journal.configured()
    if journal is None and not no_erasures:
        raise ConfigurationError(
            "Who was erased since the backup? Let ERASURE_JOURNAL name the journal of erasures, or give --no-erasures."
        )
    if journal is not None and not journal.path.is_file():
        raise ConfigurationError(
            f"There is no journal of erasures at {journal.path}. Let ERASURE_JOURNAL name it, or give --no-erasures."
        )
    done = run(settings.postgres(), folder, dagster=_dagster(), journal=journal, end_runs=_end_runs, tell=_tell)
    if as_json:
        show_json(
            {
                "folder": str(folder),
                "made_at": done.backup.made_at,
                "revision": done.revision,
                "runs_ended": done.runs_ended,
                **vars(done.since),
            }
        )
        return
    found = done.since
    age = datetime.now(UTC) - done.backup.made_at
    say(
        f"Restored the backup of {done.backup.made_at:%Y-%m-%d %H:%M} UTC, {age.total_seconds() / 3600:,.1f} hours old."
    )
    say(f"Erased again: {found.erased:,} profiles. Ended: {done.runs_ended:,} open runs.")
    for ledger, number in found.unknown.items():
        say(f"{ledger}: {number:,} may have been done since, and are unknown. The room's next run asks about them.")
    if found.events_paused:
        say(f"{found.events_paused:,} marketing events are paused: `cdp campaign list`, then `cdp campaign resume`.")
    if found.searches_held:
        say(f"{found.searches_held:,} paid searches have failed: `cdp enrichment status`, then `cdp enrichment retry`.")


def _dagster() -> str | None:
    from cdp_platform.health import dagster_home

    home = dagster_home.read()
    return home.conninfo if home else None


def _end_runs() -> int:
    from cdp_platform.orchestration.restored import end_open

    with dagster_instance(end_lost=False) as instance:
        return end_open(instance)


def _tell(line: str) -> None:
    say(f"{datetime.now(UTC):%H:%M:%S} {line}", to=error_console)
