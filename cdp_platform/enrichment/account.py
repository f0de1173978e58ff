"""The provider's own counter of credits, compared with the ledger: evidence of what a lost answer cost.

The counter is of the account, over all tenants, and moves some seconds after a call. It is believed only while no call
is under way and none has begun or ended for a while, and only as a difference to an earlier reading of the same billing
cycle. A reading is kept only where everything is settled, so that whatever is unknown later began after it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
from psycopg.rows import class_row

from cdp_platform.errors import ConfigurationError, SourceError
from cdp_platform.ops.gate import MINUTE, Gate
from cdp_platform.resources.apollo import Apollo, Credits
from cdp_platform.warehouse.statements import statement

QUIET_SECONDS = 120.0
"""So long after the last call the counter has it, also where the provider worked on after nobody waited any more."""
_NEW_READING_SECONDS = 3600.0
_COMPARED = timedelta(days=1)
# Free calls. Their limits are not those of paid ones.
_TURNS_PER_MINUTE, _WAIT_SECONDS = 30, 5.0


@dataclass(frozen=True)
class Reading:
    """The counter at a moment when everything was settled.

    Attributes:
        read_at: the moment.
        consumed: credits consumed in the billing cycle.
        cycle: the begin of the cycle, as the provider writes it.
    """

    read_at: datetime
    consumed: Decimal
    cycle: str


@dataclass(frozen=True)
class Movement:
    """How far the counter and the ledger moved since an earlier reading.

    Attributes:
        since: of the reading.
        counted: credits by which the counter moved.
        known: credits of the ledger's calls since then.
        unknown: calls whose credits are not known.
        phones_pending: calls whose phones are awaited: they may be counted and not known.
    """

    since: datetime
    counted: Decimal
    known: Decimal
    unknown: int
    phones_pending: int

    @property
    def excess(self) -> Decimal:
        """Credits that were counted and are not known."""
        return self.counted - self.known

    @property
    def is_explained(self) -> bool:
        """Whether counter and ledger agree, or what is unknown or awaited may be the difference."""
        return self.excess == 0 or (self.excess > 0 and self.unknown + self.phones_pending > 0)


@dataclass(frozen=True)
class Silent:
    """The counter says nothing: why, and whether it may later."""

    reason: str
    is_for_now: bool = True


@dataclass(frozen=True)
class _Ledger:
    known: Decimal
    under_way: int
    unknown: int
    phones_pending: int
    moved_at: datetime | None
    quiet_seconds: float


def gate(connection: psycopg.Connection, account: str) -> Gate:
    """The gate of calls that cost nothing, which all tenants with the same account share."""
    return Gate(connection, f"apollo {account} free", {MINUTE: _TURNS_PER_MINUTE})


def read(connection: psycopg.Connection, account: str, client: Apollo) -> Reading | Silent:
    """Read the counter and keep it, if everything at the account is settled.

    Args:
        connection: outside any transaction.
        account: as in the ledger.
        client: of the account.
    """
    seen = _seen(connection, account, client, datetime.now(UTC))
    if isinstance(seen, Silent):
        return seen
    now, ledger = seen
    return _kept(connection, account, now, ledger)


def baseline(connection: psycopg.Connection, account: str, client: Apollo) -> bool:
    """See to it that a recent reading is there before calls begin; arguments as in `read`.

    Without one, lost answers of these calls cannot be settled by the counter. Costs nothing, and asks at most once an
    hour if it is answered.
    """
    last = next(iter(_readings(connection, account)), None)
    if last is not None and (datetime.now(UTC) - last.read_at).total_seconds() < _NEW_READING_SECONDS:
        return True
    return isinstance(read(connection, account, client), Reading)


def movement(connection: psycopg.Connection, account: str, client: Apollo) -> Movement | Silent:
    """How far the counter moved since the last reading, after which everything began that is not settled.

    Arguments as in `read`.
    """
    return _movement(connection, account, client, _readings(connection, account)[:1])


def compare(connection: psycopg.Connection, account: str, client: Apollo) -> Movement | Silent:
    """How far the counter moved in a day or more, or since its first reading in the billing cycle; as in `read`."""
    readings = _readings(connection, account)
    readings = [each for each in readings if each.cycle == readings[0].cycle]
    a_day_ago = datetime.now(UTC) - _COMPARED
    old = [each for each in readings if each.read_at < a_day_ago]
    return _movement(connection, account, client, old or readings[-1:])


def _movement(connection: psycopg.Connection, account: str, client: Apollo, since: list[Reading]) -> Movement | Silent:
    """Since the first of the readings, of which there may be none."""
    if not since:
        kept = read(connection, account, client)
        return kept if isinstance(kept, Silent) else Silent("its counter was never read before", is_for_now=False)
    # No call was near the moment of the reading, so those that were handed over somewhat before it came after it.
    first = since[0]
    seen = _seen(connection, account, client, first.read_at - timedelta(seconds=QUIET_SECONDS))
    if isinstance(seen, Silent):
        return seen
    now, ledger = seen
    if now.cycle != first.cycle or now.consumed < first.consumed:
        _kept(connection, account, now, ledger)
        return Silent("its counter began anew", is_for_now=False)
    moved = Movement(first.read_at, now.consumed - first.consumed, ledger.known, ledger.unknown, ledger.phones_pending)
    _kept(connection, account, now, ledger)
    return moved


def _seen(
    connection: psycopg.Connection, account: str, client: Apollo, since: datetime
) -> tuple[Credits, _Ledger] | Silent:
    """The counter, and the credits of the ledger since a moment, while nothing moves."""
    before = _ledger(connection, account, since)
    if before.under_way:
        return Silent(f"{before.under_way} calls are under way")
    if before.quiet_seconds < QUIET_SECONDS:
        return Silent("a call has just ended")
    try:
        with gate(connection, account).turn(wait_seconds=_WAIT_SECONDS):
            now = client.credits()
    except ConfigurationError as error:
        return Silent(str(error), is_for_now=False)
    except SourceError as error:
        return Silent(str(error), is_for_now=error.transient)
    after = _ledger(connection, account, since)
    if after.under_way or after.moved_at != before.moved_at:
        return Silent("a call began meanwhile")
    return now, after


def _kept(connection: psycopg.Connection, account: str, now: Credits, ledger: _Ledger) -> Reading | Silent:
    if ledger.unknown or ledger.phones_pending:
        return Silent(f"{ledger.unknown} calls have unknown credits, {ledger.phones_pending} await phones")
    with connection.cursor(row_factory=class_row(Reading)) as cursor:
        values = {"account": account, "consumed": now.consumed, "cycle": now.cycle}
        reading = cursor.execute(statement("enrichment", "store_reading"), values).fetchone()
    assert reading is not None  # noqa: S101 (it is inserted)
    return reading


def _ledger(connection: psycopg.Connection, account: str, since: datetime) -> _Ledger:
    with connection.cursor(row_factory=class_row(_Ledger)) as cursor:
        ledger = cursor.execute(statement("enrichment", "account_ledger"), [account, since]).fetchone()
    assert ledger is not None  # noqa: S101 (a function with OUT parameters: one row always)
    return ledger


def _readings(connection: psycopg.Connection, account: str) -> list[Reading]:
    """The newest first."""
    with connection.cursor(row_factory=class_row(Reading)) as cursor:
        return cursor.execute(statement("enrichment", "readings"), [account]).fetchall()
