"""Sending what is due of an event, so that no crash sends it twice and nobody is forgotten.

A batch is one transaction and then one call of the channel::

    write what became of the batch before  -+
    lock what is due                        |  one transaction
    lock its recipients                     |
    look at everything again, hand over    -+
    compose, send

The recipients are locked before anything is looked at, so that two dispatchers that work at different events don't both
find room below a person's cap. A delivery that is handed over has a lease; when its dispatcher vanishes it becomes
``unknown``.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cdp_platform.campaigns import deliveries, events, few_rows, gates, permission, suppressions
from cdp_platform.campaigns.channels.contract import Answer, Channel, Outgoing, Sender, Verdict
from cdp_platform.campaigns.events import Event, Status
from cdp_platform.campaigns.tenant_settings import CampaignSettings
from cdp_platform.campaigns.variables import VARIABLES
from cdp_platform.campaigns.verdicts import CUT_SHORT, NOT_SENT, TEMPLATE_FAILED, Outcome, outcome, resting, tell
from cdp_platform.errors import PacedError, UnavailableError
from cdp_platform.ops import erasure
from cdp_platform.ops.gate import MINUTE, Gate
from cdp_platform.ops.leases import Claim, Connect, Leases
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

BATCH = 50
"""Most messages that are handed over at a time, and so the most that become unknown when a dispatcher vanishes."""
_WAIT_SECONDS = 6.0
# A limit's turns come in so many parts a minute, so that a turn is never further away than a dispatcher waits.
_PARTS_OF_A_MINUTE = 12
# How much an event must have sent since its failures were last counted.
_COUNTED_EVERY = 1.05
# No time zone is further behind UTC.
_FURTHEST_WEST = timedelta(hours=12)
_TABLE, _KEY = "campaigns.delivery_log", "delivery_id"
_VARIABLES = sql.SQL("").join(
    sql.SQL(", {} AS {}").format(sql.SQL(column), sql.Identifier(f"v_{name}")) for name, column in VARIABLES.items()
)

WhyEnded: TypeAlias = Literal["nothing_due", "not_running", "gate_closed", "time_over"]


@dataclass(frozen=True)
class Handed:
    """One delivery that was handed over.

    Attributes:
        delivery_id: of the row.
        key: Message-ID and Idempotency-Key.
        address: the person's present one, which is the one that the audience was resolved with.
        address_hash: what suppression and caps know it by.
        variables: values of `VARIABLES`; None where the person has none.
    """

    delivery_id: str
    key: str
    address: str
    address_hash: bytes
    variables: Mapping[str, Any]


Compose = Callable[[Sequence[Handed]], Sequence[Outgoing | str]]
"""Makes the messages, in their order. A text instead of a message says why the template fails for that person."""


@dataclass
class DispatchResult:
    """The result of a dispatch.

    Attributes:
        sent: messages that were given to the channel.
        confirmed: those that the provider has.
        failed: people who get nothing for good.
        unknown: messages whose answer was lost.
        excluded: people who may not have the message any more.
        put_back: messages that go again later.
        why_ended: nothing is due, the event does not run, the gate is closed or its next turn is far, time is over.
        next_due_at: when there is more to do; None where there is nothing more.
        reason: of the gate, or of the pause of an event that paused itself.
    """

    sent: int = 0
    confirmed: int = 0
    failed: int = 0
    unknown: int = 0
    excluded: int = 0
    put_back: int = 0
    why_ended: WhyEnded = "nothing_due"
    next_due_at: datetime | None = None
    reason: str = ""


def is_late(event: Event) -> bool:
    """Whether it is too late for an event to begin; of one at local time, for everybody, wherever they are."""
    now = datetime.now(UTC)
    starts_at = event.start_at + (_FURTHEST_WEST if event.local_time else timedelta())
    return now > starts_at + event.grace or now > event.end_at


def begin(connection: psycopg.Connection, tenant_id: str, event_id: str) -> Status:
    """Let an event run, inside a transaction of the tenant; ``missed`` when it is too late.

    Returns:
        The status that it has now. One of several processes that call this lets it begin.
    """
    event = events.get(connection, tenant_id, event_id)
    if event.status == "planned":
        late = "it was found later than its grace allows"
        after, reason = ("missed", late) if is_late(event) else ("running", None)
        if events.move(connection, tenant_id, event_id, after, before=["planned"], reason=reason):
            return after
    return events.get(connection, tenant_id, event_id).status


def finish(connection: psycopg.Connection, tenant_id: str, event_id: str) -> Status | None:
    """End a running event of which nothing is open any more, inside a transaction of the tenant.

    Returns:
        ``done``, where everybody is confirmed or excluded, or ``partly_failed``; None where it goes on.
    """
    values = {"tenant": tenant_id, "event": event_id}
    row = connection.execute(statement("campaigns", "finish_event"), values).fetchone()
    return row[0] if row and events.move(connection, tenant_id, event_id, row[0], before=["running"]) else None


def dispatch(
    connection: psycopg.Connection,
    connect: Connect,
    tenant: Tenant,
    event_id: str,
    channel: Channel,
    *,
    compose: Compose,
    seconds: float,
) -> DispatchResult:
    """Send what is due of a running event, and end the event when nothing is open any more.

    Args:
        connection: outside any transaction.
        connect: opens another connection as the platform's role: for leases, and for the gate.
        tenant: whose event.
        event_id: the event. Several processes may work at it.
        channel: of the event.
        compose: makes the messages.
        seconds: no batch begins later than this.

    Raises:
        QueryError: there is no such event.
        psycopg.OperationalError: the warehouse was lost. Deliveries become unknown when their lease ends.
    """
    with tenant_transaction(connection, tenant.tenant_id):
        event = events.get(connection, tenant.tenant_id, event_id)
        end_leases(connection, tenant.tenant_id, channel)
    with few_rows.planned(connection), ExitStack() as stack:
        turns = stack.enter_context(connect())
        # Turns that a crash of the server forgets are worth no durable commit.
        turns.execute("SET synchronous_commit = off")
        run = _Run(
            connection=connection,
            tenant=tenant,
            event=event,
            channel=channel,
            compose=compose,
            sender=stack.enter_context(channel.open()),
            leases=stack.enter_context(Leases(connect)),
            ends_at=time.monotonic() + seconds,
        )
        run.gates = gates.of_event(turns, event, channel, sleep=run.sleep)
        with run.last_outcomes_written():
            run.send_batches()
    with tenant_transaction(connection, tenant.tenant_id):
        finish(connection, tenant.tenant_id, event_id)
        if run.result.next_due_at is None:
            row = connection.execute(statement("campaigns", "next_due"), run.names).fetchone()
            run.result.next_due_at = row[0] if row else None
    return run.result


def end_leases(connection: psycopg.Connection, tenant_id: str, channel: Channel) -> int:
    """Make deliveries unknown whose dispatcher vanished, inside a transaction of the tenant; returns their number."""
    values = {"tenant": tenant_id, "channel": channel.name, "key_seconds": channel.key_seconds}
    return connection.execute(statement("campaigns", "end_leases"), values).rowcount


@dataclass
class _Run:
    """One dispatch.

    Attributes:
        claim: what carries the lease of a batch.
        outcomes: of the batch before, by delivery; to be written.
        bad_addresses: hashes of the addresses that the batch before found not to work, by the provider's answer.
        failures: whether something failed since the event's failures were last counted.
        count_at: number of sent messages at which they are counted again.
    """

    connection: psycopg.Connection
    tenant: Tenant
    event: Event
    channel: Channel
    compose: Compose
    sender: Sender
    leases: Leases
    ends_at: float
    gates: list[Gate] = field(default_factory=list)
    result: DispatchResult = field(default_factory=DispatchResult)
    claim: Claim = field(init=False)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    bad_addresses: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    failures: bool = False
    count_at: float = 0

    def __post_init__(self) -> None:
        settings = CampaignSettings.of(self.tenant)
        self.claim = Claim(self.tenant.tenant_id, _TABLE, _KEY)
        self.leases.hold(self.claim)
        self.names = {"tenant": self.tenant.tenant_id, "event": self.event.event_id}
        self.looking = {
            **self.names,
            "quiet_from": settings.quiet_from,
            "quiet_until": settings.quiet_until,
            "key_seconds": self.channel.key_seconds,
            "lease_seconds": self.claim.seconds,
            "claim": self.claim.claim_id,
        }
        self.hand_over = statement("campaigns", "hand_over").format(
            permission=permission.rules(self.channel), variables=_VARIABLES
        )

    def send_batches(self) -> None:
        """Send one batch after the other."""
        while True:
            if time.monotonic() >= self.ends_at:
                self.result.why_ended = "time_over"
                return
            size = self._take_turns()
            if size == 0:
                return
            with tenant_transaction(self.connection, self.tenant.tenant_id):
                # Before any row is locked.
                erasure.while_nobody_is_erased(self.connection, self.tenant.tenant_id)
                self._write_outcomes()
                ids = self._lock(size)
                handed = self._hand_over(ids) if ids else []
            if not ids or self.result.why_ended == "not_running":
                return
            if handed:
                self._send(handed)

    @contextmanager
    def last_outcomes_written(self) -> Generator[None]:
        """In a transaction of their own, also where the run is interrupted."""
        try:
            yield
        finally:
            if not self.connection.closed:
                self._write_alone()

    def sleep(self, seconds: float) -> None:
        """Wait for a turn, and leave nothing unwritten meanwhile."""
        self._write_alone()
        time.sleep(seconds)

    def _take_turns(self) -> int:
        """Number of messages that may be sent now; 0 where the run ends."""
        size = BATCH
        limits = [limit for gate in self.gates for limit in gate.limits.items()]
        if limits:
            size = min(size, *(max(1, n if w > MINUTE else n // _PARTS_OF_A_MINUTE) for w, n in limits))
            # No turn is taken for nobody.
            with tenant_transaction(self.connection, self.tenant.tenant_id):
                row = self.connection.execute(
                    statement("campaigns", "due_number"), {**self.names, "at_most": size}
                ).fetchone()
            size = row[0] if row else 0
            if size == 0:
                return 0
        try:
            *_, channel = self.gates
            if closed := channel.closed():
                raise PacedError(closed.reason, retry_after_seconds=closed.seconds)
            for gate in self.gates:
                gate.take(size, wait_seconds=_WAIT_SECONDS)
        except (PacedError, UnavailableError) as error:
            self.result.why_ended, self.result.reason = "gate_closed", str(error)
            self.result.next_due_at = datetime.now(UTC) + timedelta(seconds=error.retry_after_seconds or 0.0)
            return 0
        return size

    # Inside the transaction of a batch.

    def _lock(self, size: int) -> list[str]:
        due = self.connection.execute(statement("campaigns", "lock_due"), {**self.names, "at_most": size}).fetchall()
        if due:
            hashes = sorted({each for _, *known in due for each in known if each is not None})
            recipients = {"tenant": self.tenant.tenant_id, "hashes": hashes}
            self.connection.execute(statement("campaigns", "add_recipients"), recipients)
            self.connection.execute(statement("campaigns", "lock_recipients"), recipients)
        return [delivery_id for delivery_id, *_ in due]

    def _hand_over(self, ids: list[str]) -> list[Handed]:
        rules = permission.parameters(self.tenant, self.channel, self.event.type, datetime.now(UTC))
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self.hand_over, {**rules, **self.looking, "ids": ids}).fetchall()
        if not rows:
            self.result.why_ended = "not_running"
        decided = Counter(row["decided"] for row in rows)
        self.result.excluded += decided["excluded"]
        self.result.failed += decided["failed"]
        return [
            Handed(
                row["delivery_id"],
                row["message_key"],
                row["address"],
                row["address_hash"],
                {name: row[f"v_{name}"] for name in VARIABLES},
            )
            for row in rows
            if row["decided"] in {"handed_over", "again"}
        ]

    def _write_outcomes(self) -> None:
        if not self.outcomes:
            return
        outcomes = self.outcomes.values()
        self.connection.execute(
            statement("campaigns", "write_outcomes"),
            {
                "tenant": self.tenant.tenant_id,
                "claim": self.claim.claim_id,
                "key_seconds": self.channel.key_seconds,
                "ids": list(self.outcomes),
                "states": [each.state for each in outcomes],
                "reasons": [each.reason for each in outcomes],
                "answers": [each.answer for each in outcomes],
                "attempts": [each.attempts for each in outcomes],
                "waits": [each.wait_seconds for each in outcomes],
            },
        )
        for answer, hashes in self.bad_addresses.items():
            suppressions.add(
                self.connection, self.tenant.tenant_id, self.channel.name, hashes, "hard_bounce", detail=answer
            )
        self._count_failures()
        self.outcomes.clear()
        self.bad_addresses.clear()

    def _count_failures(self) -> None:
        self.failures |= any(each.reason in {"bad_address", "template"} for each in self.outcomes.values())
        if self.failures and self.result.sent >= self.count_at:
            self.failures, self.count_at = False, self.result.sent * _COUNTED_EVERY
            reason = deliveries.pause_if_bad(self.connection, self.tenant.tenant_id, self.event.event_id)
            self.result.reason = reason or self.result.reason

    def _write_alone(self) -> None:
        if self.outcomes:
            with tenant_transaction(self.connection, self.tenant.tenant_id):
                self._write_outcomes()

    def _send(self, handed: Sequence[Handed]) -> None:
        """Compose and send, outside any transaction; whatever happens, each has an outcome afterwards."""
        self.outcomes = {each.delivery_id: NOT_SENT for each in handed}
        composed = self.compose(handed)
        for each, message in zip(handed, composed, strict=True):
            self.outcomes[each.delivery_id] = CUT_SHORT if isinstance(message, Outgoing) else TEMPLATE_FAILED
        going = [
            (each, message) for each, message in zip(handed, composed, strict=True) if isinstance(message, Outgoing)
        ]
        answers = resting(self.sender.send([message for _, message in going]))
        for (each, _), answer in zip(going, answers, strict=True):
            self._note(each, answer)
        self.result.sent += len(going)
        self.result.failed += len(handed) - len(going)
        tell(self.gates[-1], answers)

    def _note(self, handed: Handed, answer: Answer) -> None:
        self.outcomes[handed.delivery_id] = decided = outcome(answer)
        if answer.verdict is Verdict.BAD_ADDRESS:
            self.bad_addresses[answer.code].append(handed.address_hash)
        self.result.confirmed += decided.state == "confirmed"
        self.result.failed += decided.state == "failed"
        self.result.unknown += decided.state == "unknown"
        self.result.put_back += decided.state == "reserved"
