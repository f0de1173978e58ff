"""Consent: what a person said about messages of a channel, and who says that they said it.

Grain of ``campaigns.consent_management``: one row per person and channel, with what holds now; a trigger keeps every
change in ``campaigns.consent_change``. It belongs to the platform: no sync overwrites it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import psycopg

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

    Of several changes of one person and channel the latest is taken, and at the same moment the last in the list.
    """
    if not changes:
        return ConsentResult(0, 0)
    columns = {
        name: [getattr(change, name) for change in changes]
        for name in ("profile_id", "channel", "state", "legal_basis", "source", "evidence", "happened_at")
    }
    taken = connection.execute(statement("campaigns", "set_consent"), {"tenant": tenant_id, **columns}).rowcount
    return ConsentResult(taken, len(changes) - taken)
