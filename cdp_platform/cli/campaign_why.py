"""The command `campaign why`: why one person gets the message of an event, or does not."""

from typing import TYPE_CHECKING

import click

from cdp_platform import settings
from cdp_platform.cli.campaigns import campaign, event_option
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.cli.tenants import tenant_option
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

if TYPE_CHECKING:
    from cdp_platform.campaigns.why import Why


@campaign.command("why")
@tenant_option
@event_option
@click.option("--profile", "profile_id", metavar="ID", required=True, help="Key of the profile in the CDP.")
@json_option
def campaign_why(tenant_id: str, *, event_id: str, profile_id: str, as_json: bool) -> None:
    """Show why a person gets a message, or does not.

    It goes through rules, consent and caps, and says what would happen now.
    """
    from cdp_platform.campaigns import events, why
    from cdp_platform.campaigns.channels.config import configured

    with connect(settings.postgres()) as connection:
        tenant = tenants.get(connection, tenant_id)
        with tenant_transaction(connection, tenant_id):
            event = events.get(connection, tenant_id, event_id)
        channel = configured().required(event.channel)
        found = why.explain(connection, tenant, event_id, profile_id, channel)
    if as_json:
        show_json(found)
    else:
        _show(found)


def _show(found: "Why") -> None:
    show(
        "Rules of the segment",
        ["rule", "field", "operator", "value", "holds"],
        [(rule.path, rule.field, rule.operator, str(rule.value), _yes(rule.holds)) for rule in found.rules],
        empty=f"The segment has no rules to compute. The person is in it: {_yes(found.in_segment)}.",
    )
    show(
        f"Consent for {found.channel}",
        ["whose", "CDP", "here", "since (UTC)", "source", "evidence"],
        [
            (
                *(voice.role, _yes(voice.cdp_consent), voice.state),
                f"{voice.happened_at:%Y-%m-%d %H:%M}" if voice.happened_at else None,
                *(voice.source, voice.evidence),
            )
            for voice in found.voices
        ],
        empty="",
    )
    for each in found.suppressed:
        say(f"The address gets nothing through {each.channel} since {each.since:%Y-%m-%d %H:%M} UTC: {each.reason}.")
    through_it = sum(each.channel == found.channel for each in found.counted)
    say(
        f"In the last {found.cap_hours} hours: {len(found.counted)} of {found.cap} messages, of them"
        f" {through_it} of {found.channel_cap} through {found.channel}."
    )
    if found.time_zone:
        say(f"Time zone: {found.time_zone}, from the {found.time_zone_source}.")
    if found.frozen:
        then = found.frozen
        say(f"The audience of the event: {then.reason or then.decision}.")
        if then.state:
            say(
                f"The delivery is {then.state.replace('_', ' ')}"
                + (f": {then.delivery_reason}." if then.delivery_reason else ".")
            )
    if found.reason:
        say(f"Now: no message, {found.reason.replace('_', ' ')}.")
    else:
        say(f"Now: a message, not before {found.due_at:%Y-%m-%d %H:%M} UTC.")


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "no data"}[value]
