"""Plans one change of a spreadsheet, in one transaction that sees one snapshot of the database."""

import hashlib
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import IsolationLevel

from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals import masking, metrics, worksheets
from cdp_platform.referrals.comparison import RawData, ReadRows, SpreadsheetContent, WorksheetPlan, compare_summary
from cdp_platform.referrals.ledger import ExportLedger
from cdp_platform.referrals.tabs import Note, Staging, TabChange, new_sheet_id, tab_of
from cdp_platform.referrals.tenant_settings import ReferralSettings
from cdp_platform.referrals.worksheets import RAW_DATA, SUMMARIES, Cells, Row
from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class ExportLimits:
    """Sizes and waits of one export.

    Attributes:
        rows_per_tab: events in one tab of raw data. Do not change: it determines each event's row.
        rows_per_change: events that one change appends at most; an export of more events makes several changes.
        cells: of the whole spreadsheet, empty ones included: Google's limit.
        request_bytes: of the rows that one request writes; Google advises less than 2 MB.
        attempts: to make a change while its outcome is unknown.
        pause_seconds: before the second attempt; doubles before each further one.
        wait_seconds: for another export to the same spreadsheet, an erasure or a count of days to end.
    """

    rows_per_tab: int = 200_000
    rows_per_change: int = 100_000
    cells: int = 10_000_000
    request_bytes: int = 1_900_000
    attempts: int = 4
    pause_seconds: float = 1.0
    wait_seconds: float = 30.0


@dataclass
class Plan:
    """One change of a spreadsheet.

    Attributes:
        worksheets: all that were compared, also those that are right.
        stale: positions of raw data whose rows are written again.
        more: events wait that this change does not append. Only the last change of an export has the summaries.
        full: why new events are left out, if the spreadsheet has no room for them.
        cells_cut: texts that were too long for a cell.
        days_changed: days of ``referrals.daily_metrics`` whose figures were counted anew.
    """

    export_id: UUID
    snapshot_at: datetime
    worksheets: dict[str, WorksheetPlan] = field(default_factory=dict)
    stale: Sequence[int] = ()
    more: bool = False
    full: str | None = None
    cells_cut: int = 0
    days_changed: Collection[date] = ()

    @property
    def changes(self) -> list[TabChange]:
        """The changes of all tabs; empty if everything is right."""
        return [change for each in self.worksheets.values() for change in each.changes]

    @property
    def checksum(self) -> str:
        """The checksum of all its worksheets."""
        return hashlib.sha256(orjson.dumps({name: each.checksum for name, each in self.worksheets.items()})).hexdigest()

    @property
    def rows(self) -> int:
        """Rows of all its worksheets, without headers."""
        return sum(each.difference.after for each in self.worksheets.values())

    def described(self) -> dict[str, Any]:
        """The worksheets for the ledger. Raw data is left out if it does not have all events."""
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

    def notes(self, tenant_id: str) -> list[Note]:
        """The notes of its worksheets."""
        return [
            Note(
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
        arrived: for each earlier export whose end was not known, whether the spreadsheet has it.
    """

    connection: psycopg.Connection
    tenant: Tenant
    ledger: ExportLedger
    link: str
    limits: ExportLimits
    arrived: Mapping[UUID, bool]

    def plan(
        self,
        export_id: UUID,
        content: SpreadsheetContent,
        raw: RawData | None,
        names: Collection[str],
        *,
        dry_run: bool,
    ) -> Plan:
        """Compare what the spreadsheet should have with what it has, and give new events their positions.

        Afterwards the ledger has the export as ``reserved``; as ``unchanged`` if nothing is to be written, or as
        ``failed`` if there is no room for new events and nothing else to write. After a dry run it has nothing.

        Raises:
            BusyError: an erasure or a count of days takes too long.
            ConfigurationError: the spreadsheet has no room for the summaries.
        """
        with self._snapshot():
            counted = metrics.count_touched(self.connection, self.tenant)
            for earlier, arrived in self.arrived.items():
                if arrived:
                    # A warehouse that was set back to a backup may have an export as reserved that was made after all.
                    self.ledger.hand_over(earlier)
                self.ledger.end(earlier, "confirmed" if arrived else "failed", "a later export asked the spreadsheet")
            plan = Plan(export_id, self.ledger.begin(export_id, self.link), days_changed=counted.changed)
            cells = Cells()
            if raw:
                read = self._reader(cells)
                plan.stale = raw.stale
                new, waiting = self._reserve(plan, raw, dry_run=dry_run)
                found = raw.worksheet(content, new, read)
                difference = replace(found.difference, after=raw.last + waiting, added=waiting)
                plan.worksheets[RAW_DATA] = replace(found, difference=difference)
            if not plan.more:
                self._add_summaries(plan, content, names, cells)
            if raw and self._cells(plan, content) > self.limits.cells:
                self.ledger.release(export_id)
                plan.more, plan.full = False, self._full()
                # Rows of erased persons are written again all the same.
                plan.worksheets[RAW_DATA] = raw.worksheet(content, 0, read)
                self._add_summaries(plan, content, names, cells)
                if self._cells(plan, content) > self.limits.cells:
                    plan.stale = ()
                    del plan.worksheets[RAW_DATA]
            if self._cells(plan, content) > self.limits.cells:
                raise ConfigurationError(self._full())
            plan.cells_cut = cells.cut
            self.ledger.describe(export_id, plan.described(), plan.rows, plan.checksum)
            if not plan.changes:
                self.ledger.end(export_id, "failed" if plan.full else "unchanged", plan.full)
                self.ledger.refreshed(plan.stale)
            if dry_run:
                raise psycopg.Rollback
        return plan

    def _reserve(self, plan: Plan, raw: RawData, *, dry_run: bool) -> tuple[int, int]:
        """Give waiting events their positions; returns the numbers to append and to report."""
        at_most = min(raw.room, self.limits.rows_per_change)
        if dry_run:
            waiting = self.ledger.reserve(plan.export_id, raw.last, None)
            return min(waiting, at_most), waiting
        # One more than fits, to see whether there are more.
        waiting = self.ledger.reserve(plan.export_id, raw.last, at_most + 1)
        if waiting > at_most:
            self.ledger.release(plan.export_id, after=raw.last + at_most)
            plan.more, waiting = True, at_most
        return waiting, waiting

    def _reader(self, cells: Cells) -> ReadRows:
        tenant_id = self.tenant.tenant_id
        mask = masking.mask(self.connection, tenant_id, whole_ip=ReferralSettings.of(self.tenant).share_full_ip)

        def read(positions: range | Sequence[int]) -> Mapping[int, Row]:
            return worksheets.raw_data(
                self.connection, tenant_id, self.ledger.spreadsheet_id, positions, mask=mask, cells=cells
            )

        return read

    def _add_summaries(self, plan: Plan, content: SpreadsheetContent, names: Iterable[str], cells: Cells) -> None:
        for name in SUMMARIES:
            if name in names and name not in plan.worksheets:
                rows = worksheets.summary(self.connection, self.tenant, name, moment=plan.snapshot_at, cells=cells)
                plan.worksheets[name] = compare_summary(content, name, rows)

    def _cells(self, plan: Plan, content: SpreadsheetContent) -> int:
        """The cells of the spreadsheet while the change is made, with the staging tab: the most that it ever has."""
        sizes = {title: (sheet.rows, sheet.columns) for title, sheet in content.sheets.items()}
        if changes := plan.changes:
            staging = Staging(new_sheet_id(content.sheets.values()), changes)
            sizes |= {change.title: change.grid(content.sheets.get(change.title)) for change in changes}
            sizes[staging.title] = staging.grid
        return sum(rows * columns for rows, columns in sizes.values())

    def _full(self) -> str:
        return (
            f"{self.link} has no room for more: Google's limit is {self.limits.cells:,} cells. Move full tabs "
            f"({tab_of(0)}, {tab_of(1)}, ...) into another spreadsheet and delete them here, or give the tenant a new "
            f"one, which starts with all events: `cdp tenant add {self.tenant.tenant_id} --google-sheet-id ID`. "
            "Nothing is lost: events wait until then."
        )

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        """A transaction that sees one snapshot, while nobody counts days and nobody is erased.

        Both locks are taken before the snapshot. An erasure afterwards finds the events of its person by the positions
        that this transaction gave them.
        """
        tenant_id, wait = self.tenant.tenant_id, self.limits.wait_seconds
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
