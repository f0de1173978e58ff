"""Settling deliveries of which nobody knows how they ended, and ending events that nobody ended.

A delivery whose dispatcher vanished is ``unknown`` when its lease ends. While the provider honours its key, `dispatch`
sends it again under the same key. Otherwise evidence settles it: a provider's report, the provider's answer
when it is asked, its log, or a person's word. The rest stays ``unknown`` and is reported; it is never sent again.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import psycopg

from cdp_platform.campaigns import dispatch, events, gates, outcomes
from cdp_platform.campaigns.channels.contract import Answer, Channel, Verdict
from cdp_platform.errors import PlatformError
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

Evidence: TypeAlias = Literal["confirmed", "failed"]
_MOST_ASKED = 200
_WAIT_SECONDS = 5.0
# `campaigns.message_key` makes them.
_KEY = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


@dataclass
class SettleResult:
    """The result for one tenant.

    Attributes:
        vanished: deliveries whose dispatcher vanished.
        reported: deliveries that reports of providers settled.
        confirmed: deliveries that the provider has, as it says when it is asked.
        failed: deliveries that it does not know, or refused.
        left: unknown ones that are not sent again: a provider's log or a person has to settle them.
        ended: status of each event that ended, by its id.
        problems: why a channel could not be used or asked, by its name.
    """

    vanished: int = 0
    reported: int = 0
    confirmed: int = 0
    failed: int = 0
    left: int = 0
    ended: dict[str, events.Status] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def settle(connection: psycopg.Connection, tenant_id: str, channel_of: Callable[[str], Channel]) -> SettleResult:
    """Settle what can be settled now.

    Args:
        connection: outside any transaction.
        tenant_id: whose deliveries.
        channel_of: the channel of a name; raises a PlatformError where it cannot be used.
    """
    result = SettleResult()
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(statement("campaigns", "open_channels"), {"tenant": tenant_id}).fetchall()
    for (name,) in rows:
        try:
            channel = channel_of(name)
            with tenant_transaction(connection, tenant_id):
                result.vanished += dispatch.end_leases(connection, tenant_id, channel)
                # Reports may have come while nobody knew that the answer was lost.
                result.reported += outcomes.settle_unknown(connection, tenant_id)
            if channel.can_answer:
                _ask(connection, tenant_id, channel, result)
        except PlatformError as error:
            result.problems[name] = str(error)
    with tenant_transaction(connection, tenant_id):
        connection.execute(statement("campaigns", "close_ended"), {"tenant": tenant_id})
        running = connection.execute(statement("campaigns", "running_events"), {"tenant": tenant_id}).fetchall()
        for (event_id,) in running:
            if status := dispatch.finish(connection, tenant_id, event_id):
                result.ended[event_id] = status
        row = connection.execute(statement("campaigns", "left_unknown"), {"tenant": tenant_id}).fetchone()
        result.left = row[0] if row else 0
    return result


def resolve(connection: psycopg.Connection, tenant_id: str, keys: Mapping[str, Evidence], *, evidence: str) -> int:
    """Settle unknown deliveries by a provider's log or a person's word, inside a transaction of the tenant.

    An event all of whose people are confirmed or excluded by that is ``done``.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose deliveries.
        keys: how each ended. Keys of deliveries that are not unknown, or of nobody, change nothing.
        evidence: who says so, in words without data of a person.

    Returns:
        Number of deliveries that were settled.
    """
    rows = connection.execute(
        statement("campaigns", "resolve"),
        {"tenant": tenant_id, "keys": list(keys), "states": list(keys.values()), "evidence": evidence},
    ).fetchall()
    for event_id in {event_id for (event_id,) in rows}:
        values = {"tenant": tenant_id, "event": event_id}
        ending = connection.execute(statement("campaigns", "finish_event"), values).fetchone()
        if ending == ("done",) and events.get(connection, tenant_id, event_id).status == "partly_failed":
            events.move(connection, tenant_id, event_id, "running", before=["partly_failed"], reason=evidence)
        dispatch.finish(connection, tenant_id, event_id)
    return len(rows)


def keys_in(lines: Iterable[str]) -> set[str]:
    """The keys in a provider's log, as Message-IDs or alone."""
    return {key for line in lines for key in _KEY.findall(line.lower())}


def _ask(connection: psycopg.Connection, tenant_id: str, channel: Channel, result: SettleResult) -> None:
    """Ask about what is not sent again, one by one; raises PlatformError where the provider does not answer."""
    gate = gates.of_channel(connection, channel)
    with tenant_transaction(connection, tenant_id):
        values = {"tenant": tenant_id, "channel": channel.name, "at_most": _MOST_ASKED}
        unknown = connection.execute(statement("campaigns", "to_ask"), values).fetchall()
    known: dict[str, Answer | None] = {}
    try:
        for delivery_id, key in unknown:
            with gate.turn(wait_seconds=_WAIT_SECONDS):
                known[delivery_id] = channel.ask(key)
    finally:
        found = {each: _evidence(answer) for each, answer in known.items()}
        with tenant_transaction(connection, tenant_id):
            connection.execute(
                statement("campaigns", "settle_asked"),
                {
                    "tenant": tenant_id,
                    "ids": list(found),
                    "states": [state for state, _, _ in found.values()],
                    "reasons": [reason for _, reason, _ in found.values()],
                    "answers": [answer for _, _, answer in found.values()],
                },
            )
        states = Counter(state for state, _, _ in found.values())
        result.confirmed += states["confirmed"]
        result.failed += states["failed"]


def _evidence(answer: Answer | None) -> tuple[str, str | None, str]:
    """State, reason and the provider's code; ``unknown`` where the provider does not know either."""
    if answer is None:
        return "failed", "not_known", ""
    match answer.verdict:
        case Verdict.ACCEPTED:
            return "confirmed", None, answer.code
        case Verdict.FAILED:
            return "failed", "refused", answer.code
        case Verdict.BAD_ADDRESS:
            return "failed", "bad_address", answer.code
    return "unknown", "no_answer", answer.code
