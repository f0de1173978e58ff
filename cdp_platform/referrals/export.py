"""Brings the worksheets of a tenant's spreadsheet up to date: from one snapshot of the database, in one change.

1. Staging tabs of earlier exports are deleted. A change that is still on its way needs its staging tab, so Google
   refuses it from now on, and the notes of the spreadsheet say how every earlier export ended.
2. The tabs are read and compared with what they should have, in one transaction that sees one snapshot, and new events
   get their positions. If nothing differs, nothing is written.
3. The rows are written to a hidden staging tab.
4. One atomic request copies them to all tabs, writes the notes in the hidden tab ``_cdp_export`` and deletes the
   staging tab. Before it, the spreadsheet has the whole previous contents; after it, the whole new ones.
5. The result is read back.

An export that dies is not continued: the next one finds out which of the two contents the spreadsheet has. An event
cannot be in raw data twice, since its row is determined before it is written.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import orjson
import psycopg

from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals import tabs
from cdp_platform.referrals.comparison import Difference, RawData, SpreadsheetContent, summary_ranges
from cdp_platform.referrals.ledger import ExportLedger
from cdp_platform.referrals.plan import ExportLimits, Plan, Planner
from cdp_platform.referrals.tabs import Note, Staging
from cdp_platform.referrals.worksheets import RAW_DATA, Row, normal
from cdp_platform.resources.sheets import OutcomeUnknownError, SheetInfo, Spreadsheet
from cdp_platform.warehouse.connection import tenant_transaction

# Called with the rows that were staged so far, and their number in all.
Progress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True)
class WorksheetResult:
    """The result of an export for one worksheet; the expected one in a dry run.

    Attributes:
        unchanged: it was right, and nothing was written.
        checksum: as the spreadsheet notes it; for raw data, of the last rows.
        edited: it was read back and differed from what was written: somebody has changed it since.
    """

    difference: Difference
    unchanged: bool
    checksum: str
    edited: bool = False

    @property
    def rows(self) -> int:
        """Rows that it has, without headers; for raw data, those of all its tabs."""
        return self.difference.after


@dataclass(frozen=True)
class ExportResult:
    """The result of an export; the expected one in a dry run.

    Attributes:
        export_id: its row in ``referrals.sheet_export``, the last if it made several changes; None after a dry run.
        snapshot_at: the moment of the database that the worksheets show.
        link: the spreadsheet's address for people.
        worksheets: by name.
        cells_cut: texts that were too long for a cell.
        reads: number of requests that read.
        writes: number of requests that write.
    """

    export_id: UUID | None
    snapshot_at: datetime
    link: str
    worksheets: Mapping[str, WorksheetResult]
    cells_cut: int
    reads: int
    writes: int


def export(
    connection: psycopg.Connection,
    tenant: Tenant,
    spreadsheet: Spreadsheet,
    names: Collection[str],
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    counted: Callable[[Collection[date]], None] = lambda _days: None,
    limits: ExportLimits | None = None,
) -> ExportResult:
    """Bring these worksheets up to date.

    Args:
        connection: of the platform's role, outside any transaction. The spreadsheet may take its turns on it too.
        tenant: the owner of the worksheets.
        spreadsheet: where the worksheets are.
        names: of the worksheets.
        dry_run: read and compare, but write nothing anywhere.
        progress: called while rows are staged.
        counted: called after a commit, with the days of ``referrals.daily_metrics`` whose figures it changed.
        limits: instead of the usual ones.

    Raises:
        BusyError: another export to the spreadsheet is under way.
        ConfigurationError: the spreadsheet does not exist, is not shared, belongs to another tenant, or is full.
        OutcomeUnknownError: it is not known whether the change was made. The next export finds out.
        SourceError: Google Sheets failed. The spreadsheet has its previous state or the new one.
    """
    limits = limits or ExportLimits()
    lock = locks.spreadsheet(spreadsheet.spreadsheet_id, link=spreadsheet.url)
    with locks.held(connection, lock, wait_seconds=limits.wait_seconds):
        return _Export(connection, tenant, spreadsheet, limits, progress, counted).run(names, dry_run=dry_run)


@dataclass(frozen=True)
class _Export:
    connection: psycopg.Connection
    tenant: Tenant
    spreadsheet: Spreadsheet
    limits: ExportLimits
    progress: Progress
    counted: Callable[[Collection[date]], None]

    @property
    def ledger(self) -> ExportLedger:
        return ExportLedger(self.connection, self.tenant.tenant_id, self.spreadsheet.spreadsheet_id)

    def run(self, names: Collection[str], *, dry_run: bool) -> ExportResult:
        """Make changes until no event waits. The last one has all summaries, from one snapshot."""
        requests = self.spreadsheet.requests
        reads, writes = requests.reads, requests.writes
        results: dict[str, WorksheetResult] = {}
        cut = 0
        while True:
            plan, edited = self._change(names, dry_run=dry_run)
            cut += plan.cells_cut
            for name, each in plan.worksheets.items():
                found = WorksheetResult(each.difference, not each.changes, each.checksum, edited=name in edited)
                results[name] = _joined(results[name], found) if name in results else found
            if plan.full:
                raise ConfigurationError(plan.full)
            if not plan.more:
                break
        return ExportResult(
            export_id=None if dry_run else plan.export_id,
            snapshot_at=plan.snapshot_at,
            link=self.spreadsheet.url,
            worksheets={name: results[name] for name in names if name in results},
            cells_cut=cut,
            reads=requests.reads - reads,
            writes=requests.writes - writes,
        )

    def _change(self, names: Collection[str], *, dry_run: bool) -> tuple[Plan, set[str]]:
        """Make one change of the spreadsheet; returns it, and the worksheets that somebody edited since."""
        export_id = uuid4()
        try:
            sheets = self._sheets() if dry_run else self._fenced()
            plan = self._plan(export_id, sheets, names, dry_run=dry_run)
            if dry_run or not plan.changes:
                return plan, set()
            staging = Staging(tabs.new_sheet_id(sheets.values()), plan.changes)
            self._stage(staging)
            with tenant_transaction(self.connection, self.tenant.tenant_id):
                self.ledger.hand_over(export_id)
        except Exception as error:
            if not dry_run:
                self._failed(export_id, error)
            raise
        self._take_over(plan, sheets, staging)
        edited = self._read_back(plan)
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            self.ledger.end(export_id, "confirmed", plan.full)
            self.ledger.refreshed(plan.stale)
        return plan, edited

    def _fenced(self) -> dict[str, SheetInfo]:
        """The tabs, after the staging tabs of earlier exports were deleted: changes that are on their way need them."""
        failure: SourceError | None = None
        for _ in range(self.limits.attempts):
            sheets = self._sheets()
            left = [sheet for sheet in sheets.values() if sheet.title.startswith(tabs.STAGING)]
            if not left:
                return sheets
            try:
                self.spreadsheet.change([{"deleteSheet": {"sheetId": sheet.sheet_id}} for sheet in left])
            except SourceError as error:
                # The refused deletion may mean that the earlier change was carried out and deleted its tab itself.
                if error.transient and not isinstance(error, OutcomeUnknownError):
                    raise
                failure = error
        raise failure or SourceError(f"{self.spreadsheet.url}: staging tabs appear again and again.", transient=True)

    def _plan(self, export_id: UUID, sheets: Mapping[str, SheetInfo], names: Collection[str], *, dry_run: bool) -> Plan:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            unfinished = self.ledger.unfinished()
        noted = self._noted_exports(sheets) if unfinished else set()
        arrived = {earlier: str(earlier) in noted for earlier in unfinished}
        raw = None
        if RAW_DATA in names:
            with tenant_transaction(self.connection, self.tenant.tenant_id):
                last = self.ledger.last_position(without=[each for each in unfinished if not arrived[each]])
                raw = RawData(last, self.ledger.stale_positions(last), self.limits.rows_per_tab)
        content = self._read(sheets, [*summary_ranges(sheets, names), *(raw.ranges(sheets) if raw else [])])
        planner = Planner(self.connection, self.tenant, self.ledger, self.spreadsheet.url, self.limits, arrived)
        plan = planner.plan(export_id, content, raw, names, dry_run=dry_run)
        if plan.days_changed and not dry_run:
            self.counted(plan.days_changed)
        return plan

    def _stage(self, staging: Staging) -> None:
        """Write the rows to a hidden tab."""
        self._settle([staging.request()], lambda: staging.title in self._sheets())
        rows = staging.rows
        self.progress(0, len(rows))
        for first, chunk in self._chunks(rows):
            last = first + len(chunk) - 1
            self.spreadsheet.write([(tabs.area(staging.title, first, last, staging.grid[1]), chunk)])
            self.progress(last, len(rows))

    def _chunks(self, rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
        """Rows that fit into one request, with the number of the first of them."""
        start, size = 0, 0
        for index, row in enumerate(rows):
            bytes_of_row = len(orjson.dumps(row)) + 1
            if size + bytes_of_row > self.limits.request_bytes and index > start:
                yield start + 1, rows[start:index]
                start, size = index, 0
            size += bytes_of_row
        yield start + 1, rows[start:]

    def _take_over(self, plan: Plan, sheets: Mapping[str, SheetInfo], staging: Staging) -> None:
        """Copy the staged rows to their tabs, in one change."""
        requests = tabs.take_over(sheets, staging, plan.notes(self.tenant.tenant_id))

        def done() -> bool:
            now = self._sheets()
            return staging.title not in now and str(plan.export_id) in self._noted_exports(now)

        try:
            self._settle(requests, done)
        except OutcomeUnknownError as error:
            self._unknown(plan.export_id, error)
            raise
        except PlatformError as error:
            self._failed(plan.export_id, error)
            raise

    def _settle(self, requests: Sequence[Mapping[str, Any]], done: Callable[[], bool]) -> None:
        """Make a change that cannot be made twice, and find out whether it was made.

        Raises:
            OutcomeUnknownError: it may have been made, or may still be made.
            PlatformError: it was refused and was not made.
        """
        unknown: OutcomeUnknownError | None = None
        for attempt in range(self.limits.attempts):
            if attempt:
                time.sleep(self.limits.pause_seconds * 2 ** (attempt - 1))
            try:
                self.spreadsheet.change(requests)
            except OutcomeUnknownError as error:
                unknown = error
            except PlatformError:
                if unknown is None:
                    raise
                # It may be refused because an earlier attempt was carried out after all.
            else:
                return
            try:
                if done():
                    return
            except PlatformError:
                break
        assert unknown is not None  # noqa: S101 (only then there is another attempt)
        raise unknown

    def _read_back(self, plan: Plan) -> set[str]:
        """Compare what the spreadsheet has with what was written; returns the worksheets that differ.

        Raises:
            SourceError: the notes are of another export.
        """
        ranges = [tabs.NOTES_RANGE, *(at for each in plan.worksheets.values() for at in each.read_back)]
        values = dict(zip(ranges, self.spreadsheet.values(ranges), strict=True))
        notes = tabs.read_notes(values[tabs.NOTES_RANGE], self.tenant.tenant_id)
        others = [each.worksheet for each in plan.notes(self.tenant.tenant_id) if notes.get(each.worksheet) != each]
        if others:
            error = SourceError(
                f"{self.spreadsheet.url} was changed, but its notes about {', '.join(others)} are of another export. "
                "Does somebody else write there? The next export finds out what it has.",
                transient=True,
            )
            self._unknown(plan.export_id, error)
            raise error
        return {
            name
            for name, each in plan.worksheets.items()
            for at, rows in each.read_back.items()
            if normal(values[at], len(rows[0])) != normal(rows, len(rows[0]))
        }

    def _sheets(self) -> dict[str, SheetInfo]:
        return {sheet.title: sheet for sheet in self.spreadsheet.sheets()}

    def _noted_exports(self, sheets: Mapping[str, SheetInfo]) -> set[str]:
        return {each.export_id for each in self._read(sheets, []).notes.values()}

    def _read(self, sheets: Mapping[str, SheetInfo], ranges: Sequence[str]) -> SpreadsheetContent:
        """Read these ranges and the notes, in one request."""
        at = tabs.readable_notes(sheets)
        asked = [*([at] if at else []), *ranges]
        values = dict(zip(asked, self.spreadsheet.values(asked), strict=True)) if asked else {}
        notes: Mapping[str, Note] = tabs.read_notes(values[at], self.tenant.tenant_id) if at else {}
        return SpreadsheetContent(sheets, notes, values)

    def _failed(self, export_id: UUID, error: Exception) -> None:
        """Record that the spreadsheet has its previous state, also for an export that the ledger does not have yet."""
        # If the database fails too, the caller raises the first error, and the next export resolves this one.
        with suppress(psycopg.Error), tenant_transaction(self.connection, self.tenant.tenant_id):
            self.ledger.begin(export_id, self.spreadsheet.url)
            self.ledger.end(
                export_id, "failed", str(error) if isinstance(error, PlatformError) else type(error).__name__
            )

    def _unknown(self, export_id: UUID, error: Exception) -> None:
        with tenant_transaction(self.connection, self.tenant.tenant_id):
            self.ledger.end(export_id, "unknown", str(error))


def _joined(earlier: WorksheetResult, later: WorksheetResult) -> WorksheetResult:
    """One result for two changes of an export."""
    before, after = earlier.difference, later.difference
    difference = replace(
        after,
        before=before.before,
        added=before.added + after.added,
        changed=before.changed + after.changed,
        removed=before.removed + after.removed,
    )
    return replace(
        later,
        difference=difference,
        unchanged=earlier.unchanged and later.unchanged,
        edited=earlier.edited or later.edited,
    )
