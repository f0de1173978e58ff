"""The commands `enrichment ...` once a search is paid: run, status, report, resolve."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from cdp_platform import settings
from cdp_platform.cli.enrichment import AMOUNT, enrichment, search_option
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.runs import materialize, show_result
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.enrichment.report import SearchReport
    from cdp_platform.enrichment.searches import Search
    from cdp_platform.enrichment.unknown import Decision

# Columns of the table at the end of a run, as `show_result` takes them.
ENRICHED = {"enriched": "enriched", "no match": "no_match", "calls": "calls", "credits": "credits"}


@enrichment.command("run")
@tenant_option
@json_option
def enrichment_run(tenant_id: str, *, as_json: bool) -> None:
    """Enrich the contacts of paid searches, in this process.

    `cdp up` and a deployed daemon do this by themselves, seconds after a payment. A run begins no call after five
    minutes; the same command goes on. Exit code 1 if a step fails.
    """
    from cdp_platform.health import looks

    with connect(settings.postgres()) as connection:
        known = tenants.get(connection, tenant_id)
    require_active(known)
    looks.apollo(settings.enrichment())
    outcome = materialize([known], "enrichment_update")
    if as_json:
        show_json(outcome)
    else:
        show_result(outcome, ENRICHED)
    if not outcome.success:
        raise click.exceptions.Exit(1)


@enrichment.command("status")
@click.option("--tenant", "tenant_id", metavar="ID", help="Only this tenant; all active ones if not given.")
@json_option
def enrichment_status(*, tenant_id: str | None, as_json: bool) -> None:
    """Show how far each search is, and what was spent today."""
    from cdp_platform.enrichment import report, searches

    configured = settings.enrichment()
    with connect(settings.postgres()) as connection:
        asked = (
            [tenants.get(connection, tenant_id).tenant_id]
            if tenant_id
            else [each.tenant_id for each in tenants.registered(connection) if each.active]
        )
        found: dict[str, list[Search]] = {}
        for each in asked:
            with tenant_transaction(connection, each):
                found[each] = searches.all_of(connection, each)
        totals = {each: report.of_tenant(connection, each, configured) for each in asked if found[each]}
    if as_json:
        show_json({each: {"searches": found[each], "today": totals.get(each)} for each in asked})
        return
    show(
        "Searches",
        ["tenant", "search", "name", "status", "contacts", "waiting", "enriched", "held", "credits"],
        [
            (
                *(tenant, str(each.search_id), each.name, each.status, each.contacts),
                *(each.waiting + each.original, each.enriched, each.held, each.credits),
            )
            for tenant, of_tenant in found.items()
            for each in of_tenant
        ],
        empty="There is no search: `cdp enrichment import` makes one of a file.",
    )
    for of_tenant in found.values():
        for each in of_tenant:
            if each.status_reason and each.status != "ready":
                until = f" It goes on at {each.not_before:%Y-%m-%d %H:%M} UTC." if each.not_before else ""
                say(f"{each.name} ({each.status}): {each.status_reason}{until}")
    show(
        "Spent today (UTC)",
        ["tenant", "credits", configured.apollo_credit_currency],
        [(each, total.credits_today, f"{total.cost_today:.2f}") for each, total in totals.items()],
        empty="",
    )


@enrichment.command("report")
@tenant_option
@search_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the contacts of a paid search into this file: .csv, or .jsonl for JSON lines.",
)
@json_option
def enrichment_report(tenant_id: str, *, search_id: UUID, output: Path | None, as_json: bool) -> None:
    """Show contacts, calls, money and payments of a search.

    It says what a person has to decide. A file of --output has data of persons; the report itself has none.
    """
    from cdp_platform.enrichment import report

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        found = report.of_search(connection, tenant_id, search_id)
        written = report.export(connection, tenant_id, search_id, output) if output else None
    if as_json:
        show_json({"report": found, "written": written})
        return
    _show_report(tenant_id, found)
    if output:
        say(f"{written:,} contacts are in {output}.")


def _show_report(tenant_id: str, found: "SearchReport") -> None:
    search = found.search
    show(
        f"{search.name} ({search.search_id})",
        ["outcome", "contacts"],
        [*found.outcomes.items(), ("in all", search.contacts)],
        empty="",
    )
    why = f": {search.status_reason}" if search.status_reason else ""
    say(f"It is {search.status}{why}. {search.erased:,} contacts were erased, {search.rejected:,} lines rejected.")
    show("Calls", ["state", "calls"], list(found.calls.items()), empty="No call was made for it.")
    price = search.credit_price * search.credits
    show(
        "Money",
        ["what", "amount", "currency"],
        [
            ("price", f"{search.price:f}", search.currency),
            (f"{search.credits:f} credits at {search.credit_price:f}", f"{price:f}", search.credit_currency),
            ("payment fee", f"{search.payment_fee:f}", search.currency),
            ("margin", None if found.margin is None else f"{found.margin:f}", search.currency),
        ],
        empty="",
    )
    if search.credits_reserved:
        say(f"{search.credits_reserved:f} more credits are reserved for answers that are not known yet.")
    if found.may_be_double:
        say(f"{found.may_be_double:,} calls may have paid for the same people again.", label="warn", style="yellow")
    show(
        "Payments",
        ["event", "type", "outcome", "amount", "currency", "reason"],
        [
            (
                *(each.event_id, each.type, each.outcome),
                *(None if each.amount is None else f"{each.amount:f}", each.currency, each.reason),
            )
            for each in found.payments
        ],
        empty="",
    )
    show(
        "Calls whose answer was lost",
        ["call", "state", "people", "credits", "at most", "reason"],
        [
            (str(each.call_id), each.state, each.people, each.credits, each.credits_reserved, each.reason)
            for each in found.doubtful
        ],
        empty="",
    )
    if found.doubtful:
        say(f"`cdp enrichment resolve --tenant {tenant_id} --call CALL` ends that.")


@enrichment.command("resolve")
@tenant_option
@click.option(
    "--call", "call_id", type=click.UUID, metavar="ID", required=True, help="The call, as the report names it."
)
@click.option("--charged", type=AMOUNT, metavar="N", help="It was charged so many credits; its contacts get no answer.")
@click.option("--not-charged", is_flag=True, help="It was not charged; its people are asked about again.")
@click.option("--ask-again", is_flag=True, help="Nobody knows; its people are asked about again, maybe paid for twice.")
@json_option
def enrichment_resolve(
    tenant_id: str, *, call_id: UUID, charged: Decimal | None, not_charged: bool, ask_again: bool, as_json: bool
) -> None:
    """Decide about a call whose answer was lost.

    The provider's invoice says what it cost.
    """
    from cdp_platform.enrichment import unknown

    given: dict[Decision, bool] = {
        "charged": charged is not None,
        "not_charged": not_charged,
        "ask_again": ask_again,
    }
    chosen = [decision for decision, is_given in given.items() if is_given]
    if len(chosen) != 1:
        raise click.UsageError("What became of it? Give one of --charged, --not-charged and --ask-again.")
    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        unknown.resolve(connection, tenant_id, call_id, chosen[0], charged=charged)
    if as_json:
        show_json({"call_id": call_id, "decision": chosen[0]})
    else:
        say(f"The call {call_id} is resolved as {chosen[0].replace('_', ' ')}. The next run goes on.")
