"""The commands `campaign ...` that plan, look and try out: apply, list, plan, preview, test, report, why, effect."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cdp_platform import settings
from cdp_platform.cli.printing import file_option, json_option, say, show, show_json
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.campaigns.report import EventReport


@click.group()
def campaign() -> None:
    """Plan marketing events, send them, and see their results."""


def event_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--event`."""
    return click.option("--event", "event_id", metavar="ID", required=True, help="The event.")(command)


@campaign.command("apply")
@tenant_option
@file_option("YAML with campaigns, templates, segments and events.")
@json_option
def campaign_apply(tenant_id: str, *, path: Path, as_json: bool) -> None:
    """Take what a file plans, all of it or nothing.

    New and changed entries are written. The same file again changes nothing, and what is not in it stays. A planned
    event can be moved; one that runs has to be cancelled first.
    """
    from cdp_platform.campaigns import planning

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        require_active(tenant)
        applied = planning.apply(connection, tenant, path)
    if as_json:
        show_json(applied)
        return
    show(
        f"Plans of {tenant_id}",
        ["what", "name", "change"],
        [(each.kind, each.name, each.change) for each in applied],
        empty="The file plans nothing.",
    )
    for each in applied:
        if each.note:
            say(f"{each.name}: {each.note}", label="note:", style="yellow")


@campaign.command("list")
@tenant_option
@json_option
def campaign_list(tenant_id: str, *, as_json: bool) -> None:
    """Show the events of a tenant, and how far each is."""
    from cdp_platform.campaigns import report

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        found = report.of_all(connection, tenant_id)
    if as_json:
        show_json(found)
        return
    show(
        f"Events of {tenant_id}",
        ["event", "status", "starts (UTC)", "channel", "people", "waiting", "confirmed"],
        [
            (
                *(each.event_id, each.status, f"{each.start_at:%Y-%m-%d %H:%M}", each.channel),
                *(each.people, each.states["reserved"], each.states["confirmed"]),
            )
            for each in found
        ],
        empty=f"{tenant_id} has no event: `cdp campaign apply --file F` plans some.",
    )


@campaign.command("report")
@tenant_option
@event_option
@json_option
def campaign_report(tenant_id: str, *, event_id: str, as_json: bool) -> None:
    """Show people by state, and what providers reported."""
    from cdp_platform.campaigns import report

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        found = report.of_event(connection, tenant_id, event_id)
    if as_json:
        show_json(found)
        return
    _show_report(tenant_id, found)


def _show_report(tenant_id: str, found: "EventReport") -> None:
    show(
        f"{found.name} ({found.event_id})",
        ["state", "people"],
        [*found.states.items(), ("audience", found.people)],
        empty="",
    )
    show("Why", ["state: reason", "people"], list(found.reasons.items()), empty="")
    shares = {kind: found.share(kind) for kind in found.outcomes}
    show(
        "What was reported of confirmed messages",
        ["report", "messages", "share %"],
        [
            (kind, number, None if (share := shares[kind]) is None else f"{share * 100:.2f}")
            for kind, number in found.outcomes.items()
            if number
        ],
        empty="",
    )
    why = f": {found.status_reason}" if found.status_reason else ""
    say(f"It is {found.status}{why}. It starts at {found.start_at:%Y-%m-%d %H:%M} UTC.")
    if not found.adds_up:
        say("The states do not add up to the audience; nothing more is sent.", label="error:", style="red")
    if found.states["unknown"]:
        say("`cdp campaign resolve` settles what is unknown, from the provider's log.")
    if found.states["failed"]:
        say(f"`cdp campaign retry --tenant {tenant_id} --event {found.event_id}` tries again what failed.")
    if found.states["confirmed"]:
        say(f"`cdp campaign effect --tenant {tenant_id} --event {found.event_id}` says what it brought in money.")


@campaign.command("preview")
@tenant_option
@event_option
@click.option("--people", type=click.IntRange(1, 100), default=3, show_default=True, help="Number of people.")
@json_option
def campaign_preview(tenant_id: str, *, event_id: str, people: int, as_json: bool) -> None:
    """Show messages of an event. Nothing is sent.

    They are as some people of its segment would get them. This shows data of persons. Exit code 1 if no message can
    be made for one of them.
    """
    from cdp_platform.campaigns import events, links, running, segments
    from cdp_platform.campaigns.channels.config import configured

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            event = events.get(connection, tenant_id, event_id)
            channel = configured().required(event.channel)
            compose = running.composer(connection, tenant, event, channel, links.configured())
            of = segments.people(connection, tenant_id, event.segment_id).query
            found = compose.preview(connection, of, people)
    if as_json:
        show_json(found)
    else:
        for number, each in enumerate(found, 1):
            say(f"Message {number}", style="bold")
            if each.problem:
                say(each.problem, label="error:", style="red")
                continue
            if each.subject:
                say(f"Subject: {each.subject}")
            say(each.text)
        if not found:
            say(f"Segment {event.segment_id} has nobody.")
    if any(each.problem for each in found):
        raise click.exceptions.Exit(1)


@campaign.command("test")
@tenant_option
@event_option
@click.option("--to", "addresses", metavar="ADDRESS", multiple=True, required=True, help="Where to. Repeatable.")
@json_option
def campaign_test(tenant_id: str, *, event_id: str, addresses: tuple[str, ...], as_json: bool) -> None:
    """Send the message of an event to a seed list.

    It has the values of a made-up person. It is no delivery and counts in no figure. Exit code 1 if the provider
    did not take one.
    """
    from cdp_platform.campaigns import events, gates, links, running
    from cdp_platform.campaigns.channels.config import configured
    from cdp_platform.campaigns.channels.contract import Verdict

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            event = events.get(connection, tenant_id, event_id)
            channel = configured().required(event.channel)
            compose = running.composer(connection, tenant, event, channel, links.configured())
            messages = [compose.test_message(connection, address) for address in addresses]
        gates.of_channel(connection, channel).take(len(messages))
        with channel.open() as sender:
            answers = sender.send(messages)
    if as_json:
        show_json([{"verdict": each.verdict, "code": each.code, "reason": each.reason} for each in answers])
    else:
        show(
            f"Messages of event {event_id}",
            ["to", "answer", "code", "reason"],
            [(to, each.verdict, each.code, each.reason) for to, each in zip(addresses, answers, strict=True)],
            empty="",
        )
    if any(each.verdict is not Verdict.ACCEPTED for each in answers):
        raise click.exceptions.Exit(1)


@campaign.command("effect")
@tenant_option
@click.option("--event", "event_id", metavar="ID", help="The event; all that held somebody out if not given.")
@json_option
def campaign_effect(tenant_id: str, *, event_id: str | None, as_json: bool) -> None:
    """Show what events changed in purchases.

    Treated people are compared with those held out, with a 95 % interval.
    """
    from cdp_platform.campaigns import effect

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        found = effect.measure(connection, tenant_id, event_id)
    if as_json:
        show_json(found)
        return
    show(
        f"Effect of events of {tenant_id}, per person and in all",
        ["event", "holdout", "currency", "treated", "held out", "difference", "from", "to", "total", "verdict"],
        [
            (
                *(each.event_id, each.holdout, each.currency, each.treated, each.held_out),
                *map(_amount, (each.difference, each.low, each.high, each.total)),
                each.verdict.replace("_", " "),
            )
            for each in found
        ],
        empty="No event held anybody out whose purchases could be compared: `holdout_share` in the file of "
        "`cdp campaign apply` does that.",
    )
    for each in found:
        if each.people_needed:
            say(f"{each.event_id}, {each.currency}: a verdict takes about {each.people_needed:,} people held out.")


def _amount(value: float | None) -> str | None:
    return None if value is None else f"{value:,.2f}"
