"""Consent: what a person said about messages of a channel, and who says that they said it.

Grain of ``campaigns.consent_management``: one row per person and channel, with what holds now; a trigger keeps every
change in ``campaigns.consent_change``. It belongs to the platform: no sync overwrites it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import psycopg
from psycopg.rows import class_row

from cdp_platform.errors import QueryError
from cdp_platform.warehouse.statements import statement

State: TypeAlias = Literal["unknown", "requested", "given", "refused", "withdrawn"]


@dataclass(frozen=True)
class Change:
    """Something a person said about one channel.

    Attributes:
        source: who says so, as in ``consent_management.source``.
        happened_at: when the person said it.
        legal_basis: such as consent or contract.
        evidence: what proves it, such as the name of a form and its version.
    """

    profile_id: str
    channel: str
    state: State
    source: str
    happened_at: datetime
    legal_basis: str | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class ConsentResult:
    """The result of changes.

    Attributes:
        taken: person and channel pairs whose row changed.
        older: changes that were not taken, because something later is known, or the same.
    """

    taken: int
    older: int


def set_states(connection: psycopg.Connection, tenant_id: str, changes: Sequence[Change]) -> ConsentResult:
    """Write down what people said, inside a transaction of the tenant. The later word counts, in whatever order.

    The latest of several changes of one person and channel is taken, and a refusal of those at one moment. A consent
    that is given after an opt-out lifts the suppression of the person's address; no other suppression is lifted.
    """
    if not changes:
        return ConsentResult(0, 0)
    columns = {
        name: [getattr(change, name) for change in changes]
        for name in ("profile_id", "channel", "state", "legal_basis", "source", "evidence", "happened_at")
    }
    row = connection.execute(statement("campaigns", "set_consent"), {"tenant": tenant_id, **columns}).fetchone()
    assert row is not None  # noqa: S101 (one row always)
    return ConsentResult(row[0], len(changes) - row[0])


@dataclass(frozen=True)
class Held:
    """The consent of one person for one channel, or one change that led there.

    Attributes:
        before: the state that it replaced; None for what holds now, and where there was none.
    """

    channel: str
    state: State
    source: str
    legal_basis: str | None
    evidence: str | None
    happened_at: datetime
    recorded_at: datetime
    before: State | None = None


@dataclass(frozen=True)
class Shown:
    """All that is known of one person's consent.

    Attributes:
        held: what holds now, by channel.
        changes: how it came to that, oldest first.
        cdp: what the CDP says for e-mail and for SMS: True agreed, None no data, False refused.
    """

    held: Sequence[Held]
    changes: Sequence[Held]
    cdp: Mapping[str, bool | None]


def show(connection: psycopg.Connection, tenant_id: str, profile_id: str) -> Shown:
    """The consent of one person with its history; inside a transaction of the tenant.

    Raises:
        QueryError: there is no such profile.
    """
    values = {"tenant": tenant_id, "profile": profile_id}
    cdp = connection.execute(statement("campaigns", "cdp_consent"), values).fetchone()
    if cdp is None:
        raise QueryError(f"Tenant {tenant_id} has no profile of this id.")
    with connection.cursor(row_factory=class_row(Held)) as cursor:
        held = cursor.execute(statement("campaigns", "consent"), values).fetchall()
        changes = cursor.execute(statement("campaigns", "consent_changes"), values).fetchall()
    return Shown(held, changes, {"email": cdp[0], "sms": cdp[1]})


@dataclass(frozen=True)
class ConsentCounts:
    """How many people said what.

    Attributes:
        held: number of people by channel and state.
        cdp: number of open profiles by what the CDP says: channel, and ``agreed``, ``no data`` or ``refused``.
        suppressed: number of addresses by channel and reason.
    """

    held: Mapping[str, Mapping[str, int]]
    cdp: Mapping[str, Mapping[str, int]]
    suppressed: Mapping[str, Mapping[str, int]]


def counts(connection: psycopg.Connection, tenant_id: str) -> ConsentCounts:
    """How many people of a tenant said what; inside a transaction of the tenant."""
    found: dict[str, dict[str, dict[str, int]]] = {"held": {}, "cdp": {}, "suppressed": {}}
    for about, channel, what, number in connection.execute(statement("campaigns", "consent_totals"), [tenant_id] * 4):
        found[about].setdefault(channel, {})[what] = number
    return ConsentCounts(**found)
