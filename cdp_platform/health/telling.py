"""Tells people of alerts, over the channels of campaigns: of each once, also if a process dies or a channel is down.

Alerts that are due are written into a message in the transaction that notes them as told. A message is handed over
before it is sent. What its channel certainly did not take waits, and later alerts for the same owner wait with it. A
message whose answer was lost is ``unknown`` and not sent again, as people may have it; what is found again is summed up
an hour later.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from cdp_platform.campaigns import gates
from cdp_platform.campaigns.channels.contract import Answer, Outgoing, Verdict
from cdp_platform.campaigns.channels.entry import ChannelEntry, Letter, Occasion
from cdp_platform.errors import ConfigurationError, PacedError, UnavailableError
from cdp_platform.ops import locks
from cdp_platform.ops.alerts import AGAIN_AFTER, Alert
from cdp_platform.ops.effects import State
from cdp_platform.ops.gate import Gate
from cdp_platform.warehouse.statements import statement

Channels: TypeAlias = Mapping[str, ChannelEntry]
Routes: TypeAlias = Mapping[str, tuple[str, str]]
"""Channel and address by owner; ``*`` has those of all owners that are not named."""

OTHERS = "*"
# A sensor's tick ends after a minute.
_ANSWER_SECONDS = 10.0
_BUDGET_SECONDS = 25.0
_SHOWN = 30
_STATES: Mapping[Verdict, State] = {
    Verdict.ACCEPTED: "confirmed",
    **dict.fromkeys((Verdict.NOT_TAKEN, Verdict.REST, Verdict.LATER, Verdict.OURS), "reserved"),
    Verdict.UNKNOWN: "unknown",
}


@dataclass
class Told:
    """The result.

    Attributes:
        sent: messages that a channel took.
        waiting: why each of the other messages waits, was refused, or is unknown.
    """

    sent: int = 0
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Message:
    message_id: UUID
    owner: str
    subject: str
    content: str


@dataclass(frozen=True)
class Unsettled:
    """A message that waits, or whose answer was lost.

    Attributes:
        owner: for whom it is.
        state: ``reserved``, ``handed_over`` or ``unknown``.
        reason: why.
        created_at: when it was written.
    """

    owner: str
    state: State
    reason: str | None
    created_at: datetime


def unsettled(connection: psycopg.Connection) -> list[Unsettled]:
    """Messages that wait, and those of the last day whose answer was lost, oldest first."""
    with connection.cursor(row_factory=class_row(Unsettled)) as cursor:
        return cursor.execute(statement("health", "unsettled_alert_messages")).fetchall()


def tell(connection: psycopg.Connection, channels: Channels, routes: Routes, dagster_url: str | None) -> Told:
    """Write messages about alerts that are due, and send what waits.

    Args:
        connection: of the platform's role, outside any transaction.
        channels: by name.
        routes: who is told. Alerts of an owner without a route, where there is none for others either, are not told.
        dagster_url: address of the Dagster UI, for links to runs.
    """
    told = Told()
    with locks.tried(connection, locks.alerts()) as free:
        if not free:
            return told
        # Whoever holds the lock is alone, so the process that handed these over died.
        connection.execute(statement("health", "lost_alert_messages"))
        _write(connection, routes, dagster_url)
        ends_at = time.monotonic() + _BUDGET_SECONDS
        with connection.cursor(row_factory=class_row(_Message)) as cursor:
            waiting = cursor.execute(statement("health", "alert_messages_waiting")).fetchall()
        for message in waiting:
            if time.monotonic() > ends_at:
                told.waiting.append(f"{message.owner}: the time is over")
                continue
            problem = _send(connection, message, channels, routes)
            if problem:
                told.waiting.append(f"{message.owner}: {problem}")
            else:
                told.sent += 1
    return told


def _route(message: _Message, routes: Routes) -> tuple[str, str]:
    found = routes.get(message.owner) or routes.get(OTHERS)
    if found is None:
        raise ConfigurationError(f"CDP_ALERTS_TO has no route for {message.owner}. Add one for it, or for *.")
    return found


def _channel(channels: Channels, name: str) -> ChannelEntry:
    found = channels.get(name)
    if found is None:
        raise ConfigurationError(f"CDP_ALERTS_TO names the channel {name}, which is not in channels.yaml. Correct it.")
    return found


def test(channels: Channels, routes: Routes) -> dict[str, Answer]:
    """Send a test message over each route; returns the answers by owner.

    Raises:
        ConfigurationError: a route names a channel that is not there.
    """
    content = "This is a test of the alerts of the customer data platform. Nothing is wrong."
    return {
        owner: deliver(_channel(channels, name), address, str(uuid4()), "[cdp] test", content)
        for owner, (name, address) in routes.items()
    }


def deliver(channel: ChannelEntry, address: str, key: str, subject: str, content: str) -> Answer:
    """Send one message over a channel."""
    seconds = min(getattr(channel, "timeout_seconds", _ANSWER_SECONDS), _ANSWER_SECONDS)
    hurried = channel.model_copy(update={"timeout_seconds": seconds})
    write = hurried.writer(Occasion(tenant_id="", campaign_code="alerts", event_id=key))
    letter = Letter(key=key, address=address, subject=subject, text=[content], html=[], opt_out="")
    with hurried.open() as sender:
        (answer,) = sender.send([Outgoing(key, address, write(letter))])
    return answer


def _write(connection: psycopg.Connection, routes: Routes, dagster_url: str | None) -> None:
    """Write a message for each owner that has alerts due and no message that waits."""
    with connection.transaction():
        busy = {owner for (owner,) in connection.execute(statement("health", "alert_owners_waiting"))}
        with connection.cursor(row_factory=class_row(Alert)) as cursor:
            due = cursor.execute(statement("ops", "alerts_to_tell"), [AGAIN_AFTER]).fetchall()
        by_owner: dict[str, list[Alert]] = {}
        for alert in due:
            owner = next((each for each in (*alert.owners, OTHERS) if each in routes), None)
            if owner is not None and owner not in busy:
                by_owner.setdefault(owner, []).append(alert)
        for owner, alerts in by_owner.items():
            subject, content = composed(alerts, dagster_url)
            connection.execute(
                "INSERT INTO ops.alert_message (owner, channel, subject, content) VALUES (%s, %s, %s, %s)",
                [owner, routes[owner][0], subject, content],
            )
            connection.execute(statement("health", "note_told"), [[alert.alert_id for alert in alerts]])


def composed(alerts: Sequence[Alert], dagster_url: str | None) -> tuple[str, str]:
    """Subject and text of a message about these alerts."""
    parts = {
        "New": [each for each in alerts if each.state == "open" and each.told_at is None],
        "Again": [each for each in alerts if each.state == "open" and each.told_at is not None],
        "Over": [each for each in alerts if each.state == "ended"],
    }
    counts = ", ".join(f"{len(of)} {name.lower()}" for name, of in parts.items() if of)
    first = alerts[0]
    subject = f"[cdp] {counts}: {_name(first)}{' and others' if len(alerts) > 1 else ''}"
    lines, shown = [], 0
    for name, of in parts.items():
        some = of[: max(0, _SHOWN - shown)]
        shown += len(some)
        if some:
            lines += [f"{name}:", *(_line(each, dagster_url) for each in some), ""]
    if shown < len(alerts):
        lines += [f"And {len(alerts) - shown} more.", ""]
    return subject, "\n".join([*lines, "`cdp alerts list` shows all."])


def _name(alert: Alert) -> str:
    return f"{alert.kind} {alert.subject}" + (f" ({alert.tenant})" if alert.tenant else "")


def _line(alert: Alert, dagster_url: str | None) -> str:
    if alert.state == "ended" and alert.ended_at is not None:
        times = f"from {_moment(alert.first_at)} to {_moment(alert.ended_at)} UTC, found {alert.count:,} times"
    else:
        times = f"since {_moment(alert.first_at)} UTC, found {alert.count:,} times"
        if alert.told_at is not None:
            times += f", {alert.count - alert.told_count:,} of them since the last message"
    link = f" {dagster_url.rstrip('/')}/runs/{alert.run_id}" if dagster_url and alert.run_id else ""
    message = "" if alert.state == "ended" and alert.told_at is not None else f": {alert.message}"
    return f"- {_name(alert)}{message} ({times}){link}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _send(connection: psycopg.Connection, message: _Message, channels: Channels, routes: Routes) -> str:
    """Send a message that waits; returns why it was not taken, or ''."""
    try:
        route = _route(message, routes)
        channel = _channel(channels, route[0])
        gate = gates.of_channel(connection, channel)
        gate.take(wait_seconds=0)
    except (ConfigurationError, PacedError, UnavailableError) as error:
        _move(connection, message, "reserved", str(error))
        return str(error)
    _move(connection, message, "handed_over", "")
    try:
        answer = deliver(channel, route[1], str(message.message_id), message.subject, message.content)
    except ConfigurationError as error:
        _move(connection, message, "reserved", str(error))
        return str(error)
    _tell_the_gate(gate, answer)
    said = " ".join(filter(None, (answer.code, answer.reason))) or answer.verdict
    state = _STATES.get(answer.verdict, "failed")
    reason = "" if state == "confirmed" else said
    _move(connection, message, state, reason)
    return reason


def _tell_the_gate(gate: Gate, answer: Answer) -> None:
    if answer.verdict is Verdict.REST:
        gate.rest(answer.retry_after_seconds or 60.0, answer.reason)
    elif answer.verdict in {Verdict.NOT_TAKEN, Verdict.OURS}:
        gate.failed(answer.reason)
    else:
        gate.answered()


def _move(connection: psycopg.Connection, message: _Message, state: State, reason: str) -> None:
    values = {"state": state, "reason": reason or None, "message": message.message_id}
    connection.execute(statement("health", "move_alert_message"), values)
