"""The commands `enrichment ...` around a search: import, preview, estimate, retry."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction


class _Amount(click.ParamType):
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is no number.", param, ctx)


AMOUNT = _Amount()
"""A decimal number, exact."""


@click.group()
def enrichment() -> None:
    """Paid searches that enrich contacts."""


def search_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--search`."""
    return click.option("--search", "search_id", type=click.UUID, metavar="ID", required=True, help="The search.")(
        command
    )


@enrichment.command("import")
@tenant_option
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="CSV with a header, or JSON lines (.jsonl).",
)
@click.option("--name", required=True, help="What people call the search.")
@click.option("--price", type=AMOUNT, metavar="P", required=True, help="What the customer pays for it.")
@click.option("--currency", metavar="CODE", required=True, help="Of the price, such as USD.")
@click.option("--personal-emails", is_flag=True, help="Ask for private addresses too.")
@click.option("--phones", is_flag=True, help="Ask for mobile phones too: 8 credits more each.")
@click.option("--credit-limit", type=AMOUNT, metavar="N", help="Most credits that it may use.")
@click.option("--money-limit", type=AMOUNT, metavar="N", help="Most that its credits may cost.")
@json_option
def enrichment_import(tenant_id: str, *, path: Path, as_json: bool, **of_search: Any) -> None:
    """Make a search of a file of contacts. Nothing is asked before it is paid.

    All of the file is taken in one piece, but for lines that are no contacts: `cdp rejected list` shows them. Exit code
    1 if there is one.
    """
    from cdp_platform.enrichment import contact_file, searches

    with connect(settings.postgres()) as connection:
        require_active(tenants.get(connection, tenant_id))
        found = searches.create(connection, tenant_id, contacts=contact_file.lines(path), **of_search)
    if as_json:
        show_json(found)
    else:
        say(
            f"Search {found.search_id} has {found.contacts:,} contacts of {found.lines:,} lines, who are "
            f"{found.questions:,} different people to ask about."
        )
        if found.erased:
            say(f"{found.erased:,} contacts stayed out: their persons are erased.")
        for title, reasons in (("Not usable, and free", found.unusable), ("Rejected lines", found.rejected)):
            show(title, ["reason", "lines"], list(reasons.items()), empty="")
        say(f"`cdp enrichment estimate --tenant {tenant_id} --search {found.search_id}` says what it may cost.")
    if found.rejected:
        raise click.exceptions.Exit(1)


@enrichment.command("preview")
@tenant_option
@search_option
@click.option("--people", type=click.IntRange(1, 100), default=20, show_default=True, help="Number of contacts.")
@click.option("--link", is_flag=True, help="Print the address of a page with it, for who pays.")
@json_option
def enrichment_preview(tenant_id: str, *, search_id: UUID, people: int, link: bool, as_json: bool) -> None:
    """Show contacts of a search, masked. Who has to pay may see that."""
    from cdp_platform.enrichment import preview_links
    from cdp_platform.enrichment.preview import preview

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            found = preview(connection, tenant_id, search_id, people)
    if link:
        address = preview_links.configured().link(tenant_id, search_id)
        show_json({"link": address}) if as_json else say(address)
        return
    if as_json:
        show_json(found)
        return
    show(
        f"{found.name} ({found.status})",
        ["line", "name", "e-mail", "phone", "company", "LinkedIn", "usable"],
        [(p.line, p.name, p.email, p.phone, p.company, p.linkedin, p.reason is None) for p in found.shown],
        empty="The search has no contact any more.",
    )
    show("Why not", ["line", "reason"], [(p.line, p.reason) for p in found.shown if p.reason], empty="")
    say(f"{found.usable:,} of {found.contacts:,} contacts are usable. The price is {found.price:,} {found.currency}.")


@enrichment.command("estimate")
@tenant_option
@search_option
@json_option
def enrichment_estimate(tenant_id: str, *, search_id: UUID, as_json: bool) -> None:
    """Show what a search may still cost. Nothing is asked.

    Every limit says what it leaves, and whether that is enough.
    """
    from cdp_platform.enrichment.estimates import estimate

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            found = estimate(connection, tenant, search_id, settings.enrichment())
    if as_json:
        show_json(found)
        return
    show(
        f"{found.name} ({found.status}): {found.contacts:,} contacts are not done",
        ["different people", "number"],
        [
            ("answered already", found.answered),
            ("being asked about", found.under_way),
            ("to ask about", found.to_ask),
        ],
        empty="",
    )
    show(
        "Limits",
        ["of the", "in", "limit", "left", "may need", "enough"],
        [(each.limit, each.unit, each.most, each.left, each.needed, each.is_enough) for each in found.limits],
        empty="It has no limit.",
    )
    say(f"It costs at most {found.most_credits:,} credits, which are {found.most_money:,} {found.currency}.")


@enrichment.command("retry")
@tenant_option
@search_option
@json_option
def enrichment_retry(tenant_id: str, *, search_id: UUID, as_json: bool) -> None:
    """Have a failed search taken up again. What was answered is not paid for again."""
    from cdp_platform.enrichment import searches

    with connect(settings.postgres()) as connection:
        require_active(tenants.get(connection, tenant_id))
        with tenant_transaction(connection, tenant_id):
            searches.retry(connection, tenant_id, search_id)
            found = searches.get(connection, tenant_id, search_id)
    if as_json:
        show_json(found)
    else:
        say(f"Search {search_id} is {found.status} again; the next run takes it up.")
