"""What one change of a spreadsheet is to do, found out in one transaction of one snapshot of the database."""

import hashlib
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import IsolationLevel

from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals import masking, metrics, picture, worksheets
from cdp_platform.referrals.layout import Shown, Staging, TabChange, new_sheet_id, tab_of
from cdp_platform.referrals.ledger import Book
from cdp_platform.referrals.picture import Live, RawData, Read, Worksheet
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.referrals.worksheets import RAW_DATA, SUMMARIES, Cells, Row
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class Limits:
    """What one export takes upon itself.

    Attributes:
        rows_per_tab: events that one tab of raw data takes. Another figure would be another place for every event.
        rows_per_round: events that one change appends at most; of more, there are several changes.
        cells: of the spreadsheet as a whole, empty ones too: Google's limit.
        payload: bytes of rows that one request writes; Google advises less than 2 MB.
        attempts: for a change of which nobody says whether it was made.
        pause: seconds before the second attempt, twice as many before each further one.
        wait: seconds for others to end: an export to the same spreadsheet, an erasure, a count of days.
    """

    rows_per_tab: int = 200_000
    rows_per_round: int = 100_000
    cells: int = 10_000_000
    payload: int = 1_900_000
    attempts: int = 4
    pause: float = 1.0
    wait: float = 30.0


@dataclass
class Plan:
    """What one change is to do.

    Attributes:
        worksheets: those that it is about, right ones too.
        stale: positions of raw data whose rows are written again.
        more: events wait that this change does not append; it has no summaries, the last one has.
        full: why new events are left out, if there is no room for them.
        cells_cut: texts that were longer than a cell takes.
    """

    export_id: UUID
    snapshot_at: datetime
    worksheets: dict[str, Worksheet] = field(default_factory=dict)
    stale: Sequence[int] = ()
    more: bool = False
    full: str | None = None
    cells_cut: int = 0

    @property
    def changes(self) -> list[TabChange]:
        """Of all tabs; none if everything is right."""
        return [change for each in self.worksheets.values() for change in each.changes]

    @property
    def checksum(self) -> str:
        """Of all its worksheets."""
        return hashlib.sha256(orjson.dumps({name: each.checksum for name, each in self.worksheets.items()})).hexdigest()

    @property
    def rows(self) -> int:
        """Of all its worksheets."""
        return sum(each.difference.after for each in self.worksheets.values())

    def described(self) -> dict[str, Any]:
        """Its worksheets, for the ledger; raw data only if it has all events."""
        return {
            name: {
                "rows": each.difference.after,
                "added": each.difference.added,
                "changed": each.difference.changed,
                "removed": each.difference.removed,
                "checksum": each.checksum,
            }
            for name, each in self.worksheets.items()
            if not (self.full and name == RAW_DATA)
        }

    def shown(self, tenant_id: str) -> list[Shown]:
        """What the spreadsheet is to say of its worksheets."""
        return [
            Shown(
                worksheet=name,
                export_id=str(self.export_id),
                snapshot_at=self.snapshot_at.isoformat(),
                rows=each.difference.after,
                checksum=each.checksum,
                tab=each.tab,
                tenant_id=tenant_id,
            )
            for name, each in self.worksheets.items()
        ]


@dataclass(frozen=True)
class Planner:
    """Makes the plan for one tenant's spreadsheet.

    Attributes:
        ended: what became of earlier exports: whether the spreadsheet shows them.
    """

    connection: psycopg.Connection
    tenant: Tenant
    book: Book
    link: str
    limits: Limits
    ended: Mapping[UUID, bool]

    def plan(self, export_id: UUID, live: Live, raw: RawData | None, names: Collection[str], *, dry_run: bool) -> Plan:
        """Compare what is to be with what is, and give new events their positions.

        Afterwards the ledger has the export as ``reserved``, or as ``unchanged`` or ``failed`` if that is all there is
        to it; and nothing at all after a dry run.

        Raises:
            BusyError: an erasure or a count of days takes too long.
            ConfigurationError: the spreadsheet has no room for the summaries.
        """
        with self._snapshot():
            metrics.count_touched(self.connection, self.tenant)
            for earlier, happened in self.ended.items():
                self.book.end(earlier, "confirmed" if happened else "failed", "its end was found out by a later export")
            plan = Plan(export_id, self.book.begin(export_id, self.link))
            cells = Cells()
            if raw:
                read = self._reader(cells)
                plan.stale = raw.stale
                new, waiting = self._reserve(plan, raw, dry_run=dry_run)
                found = raw.worksheet(live, new, read)
                difference = replace(found.difference, after=raw.last + waiting, added=waiting)
                plan.worksheets[RAW_DATA] = replace(found, difference=difference)
            if not plan.more:
                self._add_summaries(plan, live, names, cells)
            if raw and self._cells(plan, live) > self.limits.cells:
                self.book.release(export_id)
                plan.more, plan.full = False, self._full()
                # Erased persons leave all the same.
                plan.worksheets[RAW_DATA] = raw.worksheet(live, 0, read)
                self._add_summaries(plan, live, names, cells)
                if self._cells(plan, live) > self.limits.cells:
                    plan.stale = ()
                    del plan.worksheets[RAW_DATA]
            if self._cells(plan, live) > self.limits.cells:
                raise ConfigurationError(self._full())
            plan.cells_cut = cells.cut
            self.book.describe(export_id, plan.described(), plan.rows, plan.checksum)
            if not plan.changes:
                self.book.end(export_id, "failed" if plan.full else "unchanged", plan.full)
                self.book.refreshed(plan.stale)
            if dry_run:
                raise psycopg.Rollback
        return plan

    def _reserve(self, plan: Plan, raw: RawData, *, dry_run: bool) -> tuple[int, int]:
        """Give events that wait their positions; returns how many this change appends, and how many it is to say."""
        at_most = min(raw.room, self.limits.rows_per_round)
        if dry_run:
            waiting = self.book.reserve(plan.export_id, raw.last, None)
            return min(waiting, at_most), waiting
        # One more, to see whether there are more.
        waiting = self.book.reserve(plan.export_id, raw.last, at_most + 1)
        if waiting > at_most:
            self.book.release(plan.export_id, after=raw.last + at_most)
            plan.more, waiting = True, at_most
        return waiting, waiting

    def _reader(self, cells: Cells) -> Read:
        tenant_id = self.tenant.tenant_id
        mask = masking.mask(self.connection, tenant_id, whole_ip=ReferralSettings.of(self.tenant).share_full_ip)

        def read(positions: range | Sequence[int]) -> Mapping[int, Row]:
            return worksheets.raw_data(
                self.connection, tenant_id, self.book.spreadsheet_id, positions, mask=mask, cells=cells
            )

        return read

    def _add_summaries(self, plan: Plan, live: Live, names: Iterable[str], cells: Cells) -> None:
        for name in SUMMARIES:
            if name in names and name not in plan.worksheets:
                rows = worksheets.summary(self.connection, self.tenant, name, moment=plan.snapshot_at, cells=cells)
                plan.worksheets[name] = picture.summary(live, name, rows)

    def _cells(self, plan: Plan, live: Live) -> int:
        """How many the spreadsheet has while the change is made, which is when it has most."""
        sizes = {title: (sheet.rows, sheet.columns) for title, sheet in live.sheets.items()}
        if changes := plan.changes:
            staging = Staging(new_sheet_id(live.sheets.values()), changes)
            sizes |= {change.title: change.grid(live.sheets.get(change.title)) for change in changes}
            sizes[staging.title] = staging.grid
        return sum(rows * columns for rows, columns in sizes.values())

    def _full(self) -> str:
        return (
            f"{self.link} has no room for more: Google's limit is {self.limits.cells:,} cells. Move full tabs "
            f"({tab_of(0)}, {tab_of(1)}, ...) into a spreadsheet of their own and delete them here, or give the tenant "
            f"a new one, which begins with all events: `cdp tenant add {self.tenant.tenant_id} --google-sheet-id ID`. "
            "Nothing is lost: events wait until then."
        )

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        """A transaction that sees one moment, while nobody counts days and nobody is erased.

        Whoever is erased afterwards is found among the events that have their positions by then. Both locks are taken
        before the moment.
        """
        tenant_id, wait = self.tenant.tenant_id, self.limits.wait
        with (
            locks.held(self.connection, locks.referral_days(tenant_id), wait_seconds=wait),
            locks.held(self.connection, locks.erasure(tenant_id), wait_seconds=wait),
        ):
            self.connection.isolation_level = IsolationLevel.REPEATABLE_READ
            try:
                with tenant_transaction(self.connection, tenant_id):
                    yield
            finally:
                if not self.connection.closed:
                    self.connection.isolation_level = None
