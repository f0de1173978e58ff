"""The commands `campaign ...` that act on events and deliveries: start, pause, resume, cancel, retry, resolve."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg

from cdp_platform import settings
from cdp_platform.cli.campaigns import campaign, event_option
from cdp_platform.cli.printing import bars, json_option, say, show_json
from cdp_platform.cli.runs import dagster_instance, show_result
from cdp_platform.cli.tenants import require_active, tenant_option
from cdp_platform.errors import QueryError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

# Columns of the table at the end of a run, as `show_result` takes them.
SENT = {"status": "status", "sent": "sent", "confirmed": "confirmed", "waiting": "waiting"}


@campaign.command("start")
@tenant_option
@event_option
@json_option
def campaign_start(tenant_id: str, *, event_id: str, as_json: bool) -> None:
    """Send an event now, in this process.

    The start of a planned event becomes this moment. What is due is sent, for ten minutes at most; the rest goes with
    the runs that the daemon starts, or with the same command again. Exit code 1 if a step or a check fails.
    """
    from cdp_platform.campaigns.running import start_now

    with connect(settings.postgres()) as connection:
        require_active(tenants.get(connection, tenant_id))
        start_now(connection, tenant_id, event_id)
    outcome = run_events([(tenant_id, event_id)])
    if as_json:
        show_json(outcome)
    else:
        show_result(outcome, SENT, subject="event")
    if not outcome.success:
        raise click.exceptions.Exit(1)


def run_events(wanted: Collection[tuple[str, str]]) -> Any:
    """Run the job of due events for these, each a tenant and the id of its event, in this process."""
    with dagster_instance() as instance, bars() as progress:
        from cdp_platform.build import build_definitions
        from cdp_platform.campaigns.defs import partitions as events
        from cdp_platform.campaigns.defs.sensors import DUE
        from cdp_platform.orchestration import partitions
        from cdp_platform.orchestration.in_process import run_job, together

        keys = {events.key_of(tenant_id, event_id) for tenant_id, event_id in wanted}
        events.ensure(instance, sorted(keys))
        definitions = build_definitions()
        # This is one run, unless partitions of other events lie between the wanted ones.
        stretches = partitions.ranges(events.known(instance), keys)
        return together([run_job(definitions, DUE, instance, stretch, watcher=progress) for stretch in stretches])


@campaign.command("pause")
@tenant_option
@event_option
@click.option("--reason", help="Why, without data of persons; shown with the event.")
@json_option
def campaign_pause(tenant_id: str, *, event_id: str, reason: str | None, as_json: bool) -> None:
    """Stop sending a running event: no batch begins after this. `resume` goes on."""
    from cdp_platform.campaigns import events

    def pause(connection: psycopg.Connection) -> bool:
        return events.move(
            connection, tenant_id, event_id, "paused", before=["running"], reason=reason or "by a person"
        )

    _act(tenant_id, event_id, pause, done="paused", as_json=as_json)


@campaign.command("resume")
@tenant_option
@event_option
@json_option
def campaign_resume(tenant_id: str, *, event_id: str, as_json: bool) -> None:
    """Let a paused event go on. The daemon sends it, or `cdp campaign start` in this process."""
    from cdp_platform.campaigns import events

    def resume(connection: psycopg.Connection) -> bool:
        return events.move(connection, tenant_id, event_id, "running", before=["paused"])

    _act(tenant_id, event_id, resume, done="running again", as_json=as_json)


@campaign.command("cancel")
@tenant_option
@event_option
@click.option("--reason", help="Why, without data of persons; shown with the event.")
@json_option
def campaign_cancel(tenant_id: str, *, event_id: str, reason: str | None, as_json: bool) -> None:
    """End an event for good. Whoever waits gets nothing; what was sent stays as it is."""
    from cdp_platform.campaigns import events

    def cancel(connection: psycopg.Connection) -> bool:
        return events.cancel(connection, tenant_id, event_id, reason=reason or "by a person")

    _act(tenant_id, event_id, cancel, done="cancelled", as_json=as_json)


def _act(tenant_id: str, event_id: str, act: Any, *, done: str, as_json: bool) -> None:
    """Move an event, or say what it is instead."""
    from cdp_platform.campaigns import events

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            before = events.get(connection, tenant_id, event_id)
            if not act(connection):
                raise QueryError(
                    f"Event {event_id} is {before.status}, so it does not become {done}. `cdp campaign list` shows all."
                )
            after = events.get(connection, tenant_id, event_id)
    if as_json:
        show_json(
            {"event_id": event_id, "before": before.status, "status": after.status, "reason": after.status_reason}
        )
    else:
        say(f"Event {event_id} is {done}.")


@campaign.command("retry")
@tenant_option
@event_option
@json_option
def campaign_retry(tenant_id: str, *, event_id: str, as_json: bool) -> None:
    """Try failed messages of an event again, with new keys. Addresses that do not work are left out."""
    from cdp_platform.campaigns import deliveries

    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            again = deliveries.retry(connection, tenant_id, event_id)
    if as_json:
        show_json({"event_id": event_id, "waiting_again": again})
    elif again:
        say(f"{again:,} messages of event {event_id} wait again. The daemon sends them, or `cdp campaign start`.")
    else:
        say(f"No message of event {event_id} failed that could be tried again.")


@campaign.command("resolve")
@tenant_option
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The provider's log: a file with a Message-ID, or a key, in each line.",
)
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Key of one message. Repeatable.")
@click.option(
    "--as", "state", type=click.Choice(["confirmed", "failed"]), required=True, help="What became of these messages."
)
@click.option("--evidence", help="What proves it; the name of the file if not given.")
@json_option
def campaign_resolve(
    tenant_id: str, *, path: Path | None, keys: tuple[str, ...], state: Any, evidence: str | None, as_json: bool
) -> None:
    """Settle messages whose answer was lost.

    The provider's log or a person says what became of them. Others than unknown ones stay as they are.
    """
    from cdp_platform.campaigns import settle

    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []
    named = settle.keys_in([*keys, *lines])
    if not named:
        raise click.UsageError("Which messages? Name a file with --file, or a key with --key.")
    with connect(settings.postgres()) as connection:
        tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            settled = settle.resolve(
                connection,
                tenant_id,
                dict.fromkeys(named, state),
                evidence=evidence or (path.name if path else "a person's word"),
            )
    if as_json:
        show_json({"named": len(named), "settled": settled, "state": state})
    else:
        say(f"Of {len(named):,} messages, {settled:,} were unknown and are {state} now.")


@campaign.command("unsubscribe")
@tenant_option
@click.option("--address", metavar="ADDRESS", required=True, help="E-mail address or phone number.")
@click.option("--channel", "name", metavar="NAME", help="Of this channel only; of all channels if not given.")
@click.option("--undo", is_flag=True, help="Lift what keeps messages from the address, a bounce or complaint too.")
@json_option
def campaign_unsubscribe(tenant_id: str, *, address: str, name: str | None, undo: bool, as_json: bool) -> None:
    """Take an opt-out that came another way.

    Somebody may have said it on the phone. The opt-out outlives an erasure.

    With --undo the address can have messages again. Consent is another thing: import what the person said.
    """
    from cdp_platform.campaigns import journal, opt_outs, suppressions
    from cdp_platform.campaigns.channels.config import configured

    channels = configured()
    opted_out = {}
    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        kind = "email" if "@" in address else "phone"
        wanted = [channels.required(name)] if name else [each for each in channels.values() if each.to == kind]
        if undo:
            with tenant_transaction(connection, tenant_id):
                hashes = [suppressions.hash_of(connection, tenant, address)]
                names = [*(channel.name for channel in wanted), *([] if name else ["*"])]
                lifted = sum(suppressions.lift(connection, tenant_id, each, hashes) for each in names)
            if as_json:
                show_json({"channels": [channel.name for channel in wanted], "lifted": lifted})
            else:
                say("The address can have messages again." if lifted else "Nothing kept messages from the address.")
            return
        with tenant_transaction(connection, tenant_id):
            said = [opt_outs.OptOut(suppressions.hash_of(connection, tenant, address), datetime.now(UTC))]
            for channel in wanted:
                opted_out[channel.name] = opt_outs.opt_out(
                    connection, tenant_id, channel.name, said, journal.configured(), source="person"
                )
    if as_json:
        show_json({"channels": list(opted_out), "new": sum(opted_out.values())})
    elif opted_out:
        say(f"Nothing more goes to this address through {', '.join(opted_out)}.")
    else:
        say("No channel uses such an address: `cdp health` shows the channels.")
