"""Why one person gets the message of an event, or does not.

Everything is asked of the same rules that decide about audiences and deliveries, for one person: which rules of the
segment hold, which consent on what evidence, what the caps count, which time zone, and what would happen now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from cdp_platform.campaigns import audience, events, permission, segments
from cdp_platform.campaigns.channels.contract import Channel
from cdp_platform.campaigns.rules import Group, Rule, compiled, parse
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.errors import QueryError
from cdp_platform.ops import addresses
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class HeldRule:
    """One rule of the segment, asked by itself: whether groups hold follows from their rules.

    Attributes:
        path: where it stands in the tree, such as ``rules[1].rules[0]``.
        field: that it looks at.
        operator: how.
        value: with what.
        holds: whether it does for the person.
    """

    path: str
    field: str
    operator: str
    value: Any
    holds: bool


@dataclass(frozen=True)
class Voice:
    """The word of one profile about the channel.

    Attributes:
        role: ``own``; ``merged``: it was merged into the person's; ``address``: it has the same address, so that a
            refusal counts.
        profile_id: the profile.
        cdp_consent: what the CDP says: True agreed, None no data or nothing for this channel, False refused.
        state: as in ``consent_management``, with its source and evidence; None if nothing was said.
    """

    role: Literal["own", "merged", "address"]
    profile_id: str
    cdp_consent: bool | None
    state: str | None
    source: str | None
    legal_basis: str | None
    evidence: str | None
    happened_at: datetime | None


@dataclass(frozen=True)
class Suppressed:
    """Why the address gets nothing more; the columns of ``campaigns.suppression`` say what the attributes mean."""

    channel: str
    reason: str
    detail: str | None
    since: datetime


@dataclass(frozen=True)
class Counted:
    """A message that counts for the caps."""

    event_id: str
    channel: str
    handed_over_at: datetime


@dataclass(frozen=True)
class Frozen:
    """The decision about the person in the audience of the event, and the end of their delivery."""

    decision: str
    reason: str | None
    time_zone: str | None
    state: str | None
    delivery_reason: str | None
    due_at: datetime | None
    handed_over_at: datetime | None


@dataclass(frozen=True)
class Why:
    """The answer.

    Attributes:
        in_segment: whether the person is in the segment now.
        rules: the rules of the segment; empty if it is none of rules.
        voices: whose word counts for the consent.
        suppressed: why the address gets nothing more.
        counted: what the caps count.
        cap: most messages through all channels in ``cap_hours``.
        channel_cap: most messages through this channel in ``cap_hours``.
        cap_hours: length of the window that caps count in.
        frozen: what the audience of the event decided; None if it is not frozen, or the person is not in it.
        reason: why they would get nothing if the audience were frozen now; None if they would get the message.
        due_at: when it would go then.
        time_zone: of the person, if nothing is against a message.
        time_zone_source: phone, country or tenant.
    """

    event_id: str
    profile_id: str
    channel: str
    in_segment: bool
    rules: Sequence[HeldRule]
    voices: Sequence[Voice]
    suppressed: Sequence[Suppressed]
    counted: Sequence[Counted]
    cap: int
    channel_cap: int
    cap_hours: int
    frozen: Frozen | None
    reason: str | None
    due_at: datetime | None
    time_zone: str | None
    time_zone_source: str | None


def explain(
    connection: psycopg.Connection,
    tenant: Tenant,
    event_id: str,
    profile_id: str,
    channel: Channel,
    *,
    now: datetime | None = None,
) -> Why:
    """Explain one person in one event.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant: whose event.
        event_id: the event.
        profile_id: the person.
        channel: the channel of the event.
        now: the moment for which it is asked; the present one.

    Raises:
        QueryError: there is no such event or profile, or the segment cannot be resolved.
    """
    tenant_id, moment = tenant.tenant_id, now or datetime.now(UTC)
    with tenant_transaction(connection, tenant_id):
        _require_profile(connection, tenant_id, profile_id)
        addresses.salt_of(connection, tenant_id)
        event = events.get(connection, tenant_id, event_id)
        segment = segments.get(connection, tenant_id, event.segment_id)
        people = segments.people(connection, tenant_id, event.segment_id).query
        values: dict[str, Any] = {
            **audience.decision_parameters(connection, tenant, event, channel, moment),
            "profile": profile_id,
            "kind": channel.to,
        }

        def found(row: type[_Row], name: str) -> list[_Row]:
            query = statement("campaigns", name).format(permission=permission.rules(channel))
            with connection.cursor(row_factory=class_row(row)) as cursor:
                return cursor.execute(query, values).fetchall()

        query = statement("campaigns", "why_decision").format(
            people=people,
            address=sql.Identifier(permission.address_column(channel)),
            decision=audience.decision(channel),
        )
        decided = connection.execute(query, values).fetchone()
        assert decided is not None  # noqa: S101 (one row always)
        reason, zone, zone_source, due_at, in_segment = decided
        return Why(
            event_id=event_id,
            profile_id=profile_id,
            channel=channel.name,
            in_segment=in_segment,
            rules=_held(connection, tenant_id, profile_id, segment),
            voices=found(Voice, "why_consent"),
            suppressed=found(Suppressed, "why_suppressed"),
            counted=found(Counted, "why_counted"),
            cap=values["cap"],
            channel_cap=values["channel_cap"],
            cap_hours=CampaignSettings.of(tenant).cap_hours,
            frozen=next(iter(found(Frozen, "why_frozen")), None),
            reason=reason if in_segment else "not in the segment",
            due_at=due_at if in_segment and reason is None else None,
            time_zone=zone,
            time_zone_source=zone_source,
        )


def _require_profile(connection: psycopg.Connection, tenant_id: str, profile_id: str) -> None:
    found = connection.execute(
        "SELECT EXISTS (SELECT FROM customers.cdp_profiles WHERE tenant_id = %s AND profile_id = %s)",
        [tenant_id, profile_id],
    ).fetchone()
    if not found or not found[0]:
        raise QueryError(f"Tenant {tenant_id} has no profile of this id.")


def _held(connection: psycopg.Connection, tenant_id: str, profile_id: str, segment: segments.Segment) -> list[HeldRule]:
    if segment.kind != "rules":
        return []
    held = []
    for rule in _leaves(parse(segment.rules)):
        alone = Group("", "AND", negated=False, rules=[rule])
        query = compiled(alone, tenant_id, lambda: segments.currencies(connection, tenant_id))
        row = connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM ({}) AS found WHERE found.profile_id = %s)").format(query), [profile_id]
        ).fetchone()
        held.append(HeldRule(rule.path, rule.field, rule.operator, rule.value, bool(row and row[0])))
    return held


def _leaves(group: Group) -> Iterator[Rule]:
    for each in group.rules:
        if isinstance(each, Group):
            yield from _leaves(each)
        else:
            yield each
