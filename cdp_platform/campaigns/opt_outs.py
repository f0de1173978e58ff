"""Opting out: an address gets no more messages of a channel, and the consent of everybody behind it is over.

An opt-out is written to the journal first, then to the warehouse: a restored backup loses none. It may be repeated, and
it works when the delivery, or the person, is gone.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from cdp_platform.campaigns import suppressions
from cdp_platform.campaigns.consent import Change, set_states
from cdp_platform.campaigns.journal import Entry, Journal, Reason
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptOut:
    """One address whose holder wants no more messages.

    Attributes:
        address_hash: ``ops.address_hash`` of it.
        at: when the holder said so.
        evidence: what proves it, such as the key of the message whose link was used.
    """

    address_hash: bytes
    at: datetime
    evidence: str | None = None


def opt_out(
    connection: psycopg.Connection,
    tenant_id: str,
    channel: str,
    opt_outs: Sequence[OptOut],
    journal: Journal | None,
    *,
    source: str,
    reason: Reason = "opt_out",
) -> int:
    """Take opt-outs, inside a transaction of the tenant.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose messages.
        channel: of which nothing more goes to these addresses.
        opt_outs: the addresses.
        journal: keeps the opt-outs outside the warehouse; None if there is none.
        source: who says so, as in ``consent_management.source``.
        reason: of the suppression.

    Returns:
        How many of the addresses were not suppressed before.
    """
    if not opt_outs:
        return 0
    if journal is not None:
        try:
            journal.append(Entry(tenant_id, channel, each.address_hash, reason, each.at) for each in opt_outs)
        except OSError as error:
            # A full disk must not keep anybody from opting out.
            _log.error("The journal of opt-outs cannot be written: %s. Look at OPT_OUT_JOURNAL.", error.strerror)
    hashes = [each.address_hash for each in opt_outs]
    moments = [each.at for each in opt_outs]
    suppressed = suppressions.add(connection, tenant_id, channel, hashes, reason, detail=source, since=moments)
    said = {each.address_hash: each for each in opt_outs}
    changes = [
        Change(
            each.profile_id,
            channel,
            "withdrawn",
            source,
            said[each.address_hash].at,
            evidence=said[each.address_hash].evidence,
        )
        for each in people_of(connection, tenant_id, hashes)
    ]
    set_states(connection, tenant_id, changes)
    return suppressed


@dataclass(frozen=True)
class ReplayResult:
    """The result of a replay.

    Attributes:
        taken: opt-outs that the warehouse did not have.
        unreadable: lines that say nothing to this warehouse.
    """

    taken: int
    unreadable: int


def replay(connection: psycopg.Connection, journal: Journal) -> ReplayResult:
    """Take the opt-outs of the journal that the warehouse lacks, as after the restore of an older backup.

    Whoever agreed again after the opt-out keeps their consent. One transaction for each tenant.
    """
    entries, unreadable = journal.read()
    by_tenant = defaultdict(list)
    for entry in entries:
        by_tenant[entry.tenant_id].append(entry)
    taken = 0
    for tenant in tenants.registered(connection):
        # The last word about an address is the one that counts.
        last = {(e.channel, e.address_hash): e for e in sorted(by_tenant.pop(tenant.tenant_id, ()), key=lambda e: e.at)}
        if last:
            with tenant_transaction(connection, tenant.tenant_id):
                taken += _take_missing(connection, tenant.tenant_id, list(last.values()))
    return ReplayResult(taken, unreadable + sum(map(len, by_tenant.values())))


def _take_missing(connection: psycopg.Connection, tenant_id: str, entries: Sequence[Entry]) -> int:
    values = {
        "tenant": tenant_id,
        "channels": [entry.channel for entry in entries],
        "hashes": [entry.address_hash for entry in entries],
        "reasons": [entry.reason for entry in entries],
        "moments": [entry.at for entry in entries],
    }
    missing = defaultdict(list)
    for channel, address_hash, reason, at in connection.execute(statement("campaigns", "journal_missing"), values):
        missing[channel, reason].append(OptOut(address_hash, at))
    return sum(
        opt_out(connection, tenant_id, channel, found, None, source="journal", reason=reason)
        for (channel, reason), found in missing.items()
    )


@dataclass(frozen=True)
class Behind:
    """A profile behind an address: it was written to there, or has it now.

    Attributes:
        address_hash: of the address.
        profile_id: the profile.
        has_it: whether the address is the profile's now.
    """

    address_hash: bytes
    profile_id: str
    has_it: bool


def people_of(connection: psycopg.Connection, tenant_id: str, address_hashes: Sequence[bytes]) -> Sequence[Behind]:
    """Everybody behind these addresses, inside a transaction of the tenant."""
    values = {"tenant": tenant_id, "hashes": list(address_hashes)}
    with connection.cursor(row_factory=class_row(Behind)) as cursor:
        return cursor.execute(statement("campaigns", "people_of_addresses"), values).fetchall()
