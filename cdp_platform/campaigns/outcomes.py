"""Outcomes: what a provider, or the person, reports about a delivery after it was handed over.

Grain of ``campaigns.delivery_outcome``: one row per report. A report counts once, however often it is sent, and reports
may come in any order, also before the answer to the message itself. One leads to this:

========== =================================================================================================
delivered  an unknown delivery is confirmed
bounced    an unknown delivery has failed. A bad address gets nothing more, and so does one with three soft
           bounces in 30 days; what is about the sender counts for nobody
complained an unknown delivery is confirmed; the address gets nothing more, and the consent is withdrawn
opted_out  the same
========== =================================================================================================

A delivery that was confirmed stays so when it bounces later: the provider took it. The outcome says the rest. An event
of which too many messages bounce or bring complaints pauses itself.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import psycopg
from psycopg.rows import class_row

from cdp_platform import settings
from cdp_platform.campaigns import deliveries, status_codes, suppressions
from cdp_platform.campaigns.journal import Journal
from cdp_platform.campaigns.opt_outs import OptOut, opt_out
from cdp_platform.campaigns.reports import Kind, Report
from cdp_platform.ops import rejected, tenants
from cdp_platform.ops.rejected import Rejection
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

SOURCE = "delivery_outcome"
"""Source of rejected records: reports about messages that nobody knows."""
SOFT_BOUNCES = 3
"""So many soft bounces of an address in 30 days are a hard one."""
_SOFT_BOUNCES_COUNT = timedelta(days=30)


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutcomesResult:
    """The result of a list of reports.

    Attributes:
        taken: number of new reports.
        known: number of those that came before.
        unknown: reports whose key no delivery of the channel has.
    """

    taken: int
    known: int
    unknown: Sequence[Report]


@dataclass(frozen=True)
class _Outcome:
    """A new report and its delivery; ``is_first`` of its kind about the delivery."""

    delivery_id: str
    event_id: str
    key: str
    address_hash: bytes
    kind: Kind
    code: str
    happened_at: datetime
    is_first: bool


def take(
    connection: psycopg.Connection, channel: str, reports: Sequence[Report], journal: Journal | None
) -> OutcomesResult:
    """Take reports about messages of any tenant in one channel, in one transaction for each tenant.

    Args:
        connection: outside of a transaction.
        channel: whose provider reports. Keys of other channels are unknown to it.
        reports: in any order, the same one any number of times.
        journal: also keeps what opts out.
    """
    found = connection.execute(
        "SELECT message_key, tenant_id FROM campaigns.tenants_of_keys(%s, %s)",
        [channel, list({report.key for report in reports})],
    )
    tenant_of = dict(found.fetchall())
    by_tenant = defaultdict(list)
    for report in reports:
        if report.key in tenant_of:
            by_tenant[tenant_of[report.key]].append(report)
    taken = sum(_take(connection, tenant_id, channel, of_tenant, journal) for tenant_id, of_tenant in by_tenant.items())
    unknown = [report for report in reports if report.key not in tenant_of]
    return OutcomesResult(taken, len(reports) - len(unknown) - taken, unknown)


def keep_unknown(connection: psycopg.Connection, channel: str, unknown: Sequence[Report]) -> None:
    """Keep reports whose key nobody knows as rejected records, for a person to look at.

    They are kept for the tenant of DEFAULT_TENANT_ID, or for the only one. With several tenants and no default nobody
    can tell whose they are, and the log has their number.
    """
    if not unknown:
        return
    registered = [tenant.tenant_id for tenant in tenants.registered(connection)]
    default = settings.platform().default_tenant_id
    mine = [tenant_id for tenant_id in registered if tenant_id == default] or registered
    if len(mine) != 1:
        _log.warning("%s: %d reports of a provider name messages that are not known", channel, len(unknown))
        return
    with tenant_transaction(connection, mine[0]):
        rejected.record(connection, mine[0], SOURCE, [_rejection(channel, report) for report in unknown])


def settle_unknown(connection: psycopg.Connection, tenant_id: str) -> int:
    """Settle unknown deliveries by the outcomes that there are, inside a transaction of the tenant.

    Returns:
        How many are confirmed or failed now.
    """
    values = {"tenant": tenant_id, "bad_address": list(status_codes.BAD_ADDRESS)}
    return connection.execute(statement("campaigns", "settle_by_outcomes"), values).rowcount


def _take(
    connection: psycopg.Connection, tenant_id: str, channel: str, reports: Sequence[Report], journal: Journal | None
) -> int:
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(_Outcome)) as cursor:
        new = cursor.execute(
            statement("campaigns", "take_outcomes"),
            {
                "tenant": tenant_id,
                "channel": channel,
                "ids": [_outcome_id(channel, report) for report in reports],
                "keys": [report.key for report in reports],
                "kinds": [report.kind for report in reports],
                "codes": [report.code for report in reports],
                "moments": [report.happened_at for report in reports],
            },
        ).fetchall()
        settle_unknown(connection, tenant_id)
        # An erased delivery has no address any more.
        addressed = [outcome for outcome in new if outcome.address_hash is not None]
        bad = {o.address_hash for o in addressed if o.kind == "bounced" and status_codes.is_bad_address(o.code)}
        suppressions.add(connection, tenant_id, channel, sorted(bad), "hard_bounce", detail="reported later")
        worn_out = _note_soft_bounces(connection, tenant_id, channel, addressed)
        suppressions.add(
            connection, tenant_id, channel, worn_out, "hard_bounce", detail="three soft bounces in 30 days"
        )
        reasons: dict[Kind, Literal["complaint", "opt_out"]] = {"complained": "complaint", "opted_out": "opt_out"}
        for kind, reason in reasons.items():
            leaving = [OptOut(each.address_hash, each.happened_at, each.key) for each in addressed if each.kind == kind]
            opt_out(connection, tenant_id, channel, leaving, journal, reason=reason, source="provider")
        # In one order, as everybody locks events.
        for event_id in sorted({outcome.event_id for outcome in new if outcome.kind in {"bounced", "complained"}}):
            deliveries.pause_if_bad(connection, tenant_id, event_id)
    return len(new)


def _note_soft_bounces(
    connection: psycopg.Connection, tenant_id: str, channel: str, outcomes: Iterable[_Outcome]
) -> list[bytes]:
    since = datetime.now(UTC) - _SOFT_BOUNCES_COUNT
    soft = {
        outcome.delivery_id: outcome
        for outcome in outcomes
        if outcome.kind == "bounced" and outcome.is_first and status_codes.is_soft(outcome.code)
        if outcome.happened_at > since
    }
    if not soft:
        return []
    values = {
        "tenant": tenant_id,
        "channel": channel,
        "hashes": [outcome.address_hash for outcome in soft.values()],
        "moments": [outcome.happened_at for outcome in soft.values()],
        "most": SOFT_BOUNCES,
    }
    return [row[0] for row in connection.execute(statement("campaigns", "note_soft_bounces"), values).fetchall()]


def _rejection(channel: str, report: Report) -> Rejection:
    document = {
        "channel": channel,
        "id": report.report_id,
        "key": report.key,
        "kind": report.kind,
        "code": report.code,
        "at": report.happened_at.isoformat(),
    }
    message = "no delivery of this channel has the key: it is of another platform, or its person was erased"
    return Rejection(_outcome_id(channel, report), "unknown_key", "$.key", message, document, [])


def _outcome_id(channel: str, report: Report) -> str:
    # The provider's id can hold anything, and be as long as it likes.
    return hashlib.sha256(f"{channel}\0{report.report_id}".encode()).hexdigest()
