"""The commands `alerts ...`: what is wrong, since when, and whether people were told."""

from datetime import timedelta

import click

from cdp_platform import settings
from cdp_platform.cli.printing import json_option, say, show, show_json
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import connect


@click.group()
def alerts() -> None:
    """What is wrong, since when, and whether people were told."""


@alerts.command("list")
@click.option("--days", type=click.IntRange(min=0), default=0, help="Also those that ended within so many days.")
@json_option
def alerts_list(days: int, *, as_json: bool) -> None:
    """Show the open alerts, and messages that wait.

    Also messages of the last day whose answer was lost.
    """
    from cdp_platform.health.telling import unsettled
    from cdp_platform.ops.alerts import listed

    with connect(settings.postgres()) as connection:
        found = listed(connection, ended_within=timedelta(days=days))
        waiting = unsettled(connection)
    if as_json:
        show_json({"alerts": found, "messages": waiting})
        return
    show(
        "Alerts",
        ["number", "kind", "subject", "tenant", "state", "since", "last", "times", "told", "what was found"],
        [
            (a.alert_id, a.kind, a.subject, a.tenant, a.state, a.first_at, a.last_at, a.count, a.told_at, a.message)
            for a in found
        ],
        empty="Nothing is wrong.",
    )
    for message in waiting:
        say(f"A message for {message.owner} is {message.state}: {message.reason or 'it is not sent yet'}")


@alerts.command("end")
@click.argument("number", type=int)
@json_option
def alerts_end(number: int, *, as_json: bool) -> None:
    """End an alert by hand.

    That of a job that nobody runs any more would stay open. What is still wrong opens another alert at the next look.
    """
    from cdp_platform.ops.alerts import end

    with connect(settings.postgres()) as connection:
        if not end(connection, number):
            raise ConfigurationError(f"No alert with number {number} is open: `cdp alerts list` shows those that are.")
    if as_json:
        show_json({"ended": number})
    else:
        say(f"Alert {number} has ended.")


@alerts.command("test")
@json_option
def alerts_test(*, as_json: bool) -> None:
    """Send a test message to everybody whom CDP_ALERTS_TO names.

    Exit code 1 if a channel does not take one.
    """
    from cdp_platform.campaigns.channels import config
    from cdp_platform.campaigns.channels.contract import Verdict
    from cdp_platform.health import telling

    routes = settings.alerts().routes
    if not routes:
        raise ConfigurationError("Nobody is told of alerts: set CDP_ALERTS_TO, which .env.example explains.")
    answers = telling.test(config.configured(), routes)
    if as_json:
        show_json({owner: vars(answer) for owner, answer in answers.items()})
    else:
        show(
            "Test messages",
            ["owner", "channel", "address", "answer", "reason"],
            [
                (owner, *routes[owner], answer.verdict, answer.reason or answer.code)
                for owner, answer in answers.items()
            ],
            empty="",
        )
    if any(answer.verdict is not Verdict.ACCEPTED for answer in answers.values()):
        raise click.exceptions.Exit(1)
