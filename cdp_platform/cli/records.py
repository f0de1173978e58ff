"""Commands on single documents and persons: `rejected`, `erase`."""

import json
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path

import click
import psycopg

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.tenants import tenant_option
from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops import rejected as rejected_records
from cdp_platform.ops import tenants
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect, tenant_transaction


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
    """Try the documents that wait again.

    Use it after the mapping or the tenant's settings were corrected. Items of registries and feeds are not tried
    here: each round of their ingestor reads them again. Nor are lines of a file: correct them, and import them again.
    Exit code 1 if one is rejected again.
    """
    from cdp_platform.customers.replay import replay
    from cdp_platform.customers.source import open_source

    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
        replayed = {}
        if known.arango_database:
            with open_source(partial(open_database, settings.arango()), known) as source:
                replayed = replay(connection, source, known)
        with tenant_transaction(connection, tenant_id):
            waiting = rejected_records.count_waiting_by_source(connection, tenant_id)
    left = {source: count for source, count in waiting.items() if source not in replayed}
    outcome = {source: result for source, result in replayed.items() if result.read}
    still_rejected = sum(result.rejected for result in outcome.values())
    if as_json:
        show_json(
            [
                {
                    "source": source,
                    "tried": result.read,
                    "taken": result.read - result.rejected,
                    "still_rejected": result.rejected,
                    "rejected_by_code": result.rejected_by_code,
                }
                for source, result in outcome.items()
            ]
        )
    else:
        show(
            f"Replayed for {tenant_id}",
            ["source", "tried", "taken", "still rejected"],
            [(name, result.read, result.read - result.rejected, result.rejected) for name, result in outcome.items()],
            empty="No document was tried." if left else f"No document of {tenant_id} waits.",
        )
        for source, count in left.items():
            say(f"{count:,} of {source} are not tried here: they are taken when their feed or file is read again.")
        if still_rejected:
            say(f"`cdp rejected list --tenant {tenant_id}` says why a document is rejected.")
    if still_rejected:
        raise click.exceptions.Exit(1)


@click.command()
@tenant_option
@click.option("--profile", "profile_ids", metavar="ID", multiple=True, help="Key of a profile in the CDP. Repeatable.")
@click.option(
    "--receipt",
    "receipts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Erase the persons of an earlier receipt (--json) again, after the restore of an older backup. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether a profile that is neither here nor in the CDP is meant.")
@click.option("--undo", is_flag=True, help="Take an erasure back: the next sync reads these people again.")
@json_option
def erase(
    tenant_id: str, *, profile_ids: tuple[str, ...], receipts: tuple[Path, ...], yes: bool, undo: bool, as_json: bool
) -> None:
    """Delete a person everywhere, for good, and print a receipt.

    A tombstone keeps them out: no sync, replay or restored row brings them back. Profiles that the CDP merged, or
    merges later, are one person. Erase them in the CDP too. ERASURE_JOURNAL keeps the erasure outside the warehouse,
    and `cdp restore` repeats it; without that, keep the receipt (--json) where no backup can overwrite it.

    After a mistake, --undo deletes the tombstones of a person, with those of all merged profiles. The next sync reads
    the tenant from the beginning and takes what the CDP still has of them. What referral events said of them is lost.
    """
    from cdp_platform.customers import erasure_journal, persons

    journal = erasure_journal.configured()
    asked = {*profile_ids, *(profile_id for path in receipts for profile_id in _profiles_of(path, tenant_id))}
    if not asked or not all(profile_id.strip() for profile_id in asked):
        raise click.UsageError("Whom? Name a profile with --profile, or a receipt with --receipt.")
    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
        if undo:
            lifted = persons.lift(connection, tenant_id, asked, journal)
            if as_json:
                show_json({"tenant_id": tenant_id, "lifted": lifted})
            else:
                say(
                    f"No longer erased in {tenant_id}: {', '.join(lifted)}. "
                    f"`cdp sync --tenant {tenant_id}` reads what the CDP has of them."
                )
            return
        if not yes:
            _ask_about_strangers(connection, known, profile_ids)
        receipt = persons.erase(connection, tenant_id, asked, journal)
    if as_json:
        show_json(receipt)
        return
    show(
        f"Erased from {tenant_id}: {', '.join(receipt.profile_ids)}",
        ["store", "rows"],
        list(receipt.rows.items()),
        empty="There is no store.",
    )
    for store, changes in receipt.outside.items():
        say(f"{store}: {changes:,} changes outside the platform are not confirmed yet. The room's next run makes them.")
    if not any(receipt.rows.values()):
        before = receipt.erased_before == receipt.profile_ids
        how = "They were erased before, and a tombstone keeps them out." if before else "A tombstone keeps them out."
        say(f"Nothing of them was here. {how}")


def _ask_about_strangers(connection: psycopg.Connection, known: tenants.Tenant, profile_ids: Collection[str]) -> None:
    """Ask before a tombstone is made for a profile id that may be a typing error."""
    from cdp_platform.customers import persons
    from cdp_platform.customers.source import open_source

    strangers = persons.not_here(connection, known.tenant_id, profile_ids)
    if not strangers:
        return
    where = "neither here nor in the CDP"
    try:
        with open_source(partial(open_database, settings.arango()), known) as source:
            strangers = persons.not_in_source(source, strangers)
    except (SourceError, ConfigurationError):
        where = "not here, and the CDP cannot be asked"
    if not strangers:
        return
    found = f"{', '.join(strangers)} of {known.tenant_id}: {where}."
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"{found} Is the id right? Nobody was erased; with --yes a tombstone keeps out what may come by that id."
        )
    click.confirm(f"{found} Make a tombstone all the same?", abort=True, err=True)


def _profiles_of(path: Path, tenant_id: str) -> list[str]:
    try:
        receipt = json.loads(path.read_text())
        found, profile_ids = receipt["tenant_id"], receipt["profile_ids"]
    except (ValueError, KeyError, TypeError):
        raise _no_receipt(path) from None
    if not isinstance(profile_ids, list) or not all(isinstance(profile_id, str) for profile_id in profile_ids):
        raise _no_receipt(path)
    if found != tenant_id:
        raise ConfigurationError(f"{path} is a receipt of tenant {found}, not of {tenant_id}.")
    return profile_ids


def _no_receipt(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is no receipt: `cdp erase --json` prints one.")
