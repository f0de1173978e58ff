"""The commands `consent ...`: take what people said from a file, and show what one of them said."""

from pathlib import Path

import click

from cdp_platform import settings
from cdp_platform.cli.printing import file_option, json_option, say, show, show_json
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

# Refused rows that are shown; the rest is counted.
_SHOWN = 20


@click.group()
def consent() -> None:
    """Statements of people about messages, by person and channel."""


@consent.command("import")
@tenant_option
@file_option("CSV with a header; docs/campaigns.md says which columns.")
@json_option
def consent_import(tenant_id: str, *, path: Path, as_json: bool) -> None:
    """Take consents from a file. What is older than what is known stays out. Exit code 1 if a row is refused."""
    from cdp_platform.campaigns.channels.config import configured
    from cdp_platform.campaigns.consent_file import import_file

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        require_active(tenant)
        found = import_file(connection, tenant, path, configured())
    if as_json:
        show_json(found)
    else:
        say(f"Of {found.rows:,} rows, {found.taken:,} changed what is known, and {found.older:,} were older than it.")
        if found.suppressed:
            say(f"{found.suppressed:,} addresses get nothing more: no profile has them, and the file says no.")
        show(
            "Refused",
            ["line", "reason"],
            [(each.line, each.reason) for each in found.refused[:_SHOWN]],
            empty="",
        )
        if len(found.refused) > _SHOWN:
            say(f"And {len(found.refused) - _SHOWN:,} more; --json has all.")
    if found.refused:
        raise click.exceptions.Exit(1)


@consent.command("show")
@tenant_option
@click.option("--profile", "profile_id", metavar="ID", required=True, help="Key of the profile in the CDP.")
@json_option
def consent_show(tenant_id: str, *, profile_id: str, as_json: bool) -> None:
    """Show what a person said by channel, and when.

    With the evidence of each change.
    """
    from cdp_platform.campaigns import consent as room

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            found = room.show(connection, tenant_id, profile_id)
    if as_json:
        show_json(found)
        return
    columns = ["channel", "state", "since (UTC)", "source", "legal basis", "evidence"]
    for title, rows in (("Consent", found.held), ("How it came to that", found.changes)):
        show(
            title,
            columns,
            [
                (
                    *(each.channel, each.state, f"{each.happened_at:%Y-%m-%d %H:%M}"),
                    *(each.source, each.legal_basis, each.evidence),
                )
                for each in rows
            ],
            empty="Nothing was said here." if title == "Consent" else "",
        )
    words = {True: "agreed", None: "no data", False: "refused"}
    said = ", ".join(f"{channel} {words[answer]}" for channel, answer in found.cdp.items())
    say(f"The CDP says: {said}. What a refusal there means, and an agreement: docs/campaigns.md.")
