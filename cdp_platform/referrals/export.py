"""Bring the worksheets of a tenant's spreadsheet up to date: from one snapshot of the database, in one change.

1. Staging tabs that an earlier export left behind are deleted. A change of the spreadsheet that is still on its way
   needs them and is refused from now on, so what the spreadsheet says now is what became of every earlier export.
2. What the tabs have is read; in one transaction of one snapshot, it is compared with what they are to have, and new
   events get their positions. Where nothing differs, nothing is written.
3. The rows are laid out in a hidden staging tab. Nobody sees anything yet.
4. One atomic request takes them over into all tabs, says in the hidden tab ``_cdp_export`` what they show, and deletes
   the staging tab. Before it, the spreadsheet has the previous picture whole; after it, the new one.
5. What is there is read back.

An export that ends anywhere in between is continued by none: the next one finds out which of the two pictures there is.
Raw data cannot be there twice, since the row of every event is known before it is written.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import orjson
import psycopg

from cdp_platform.errors import ConfigurationError, PlatformError, SourceError
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals import layout, picture
from cdp_platform.referrals.layout import Shown, Staging
from cdp_platform.referrals.ledger import Book
from cdp_platform.referrals.picture import Difference, Live, RawData
from cdp_platform.referrals.plan import Limits, Plan, Planner
from cdp_platform.referrals.worksheets import RAW_DATA, Row, normal
from cdp_platform.resources.sheets import OutcomeUnknownError, SheetInfo, Spreadsheet
from cdp_platform.warehouse.connection import tenant_transaction

# Told how many rows are laid out, and how many are to be.
Progress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True)
class WorksheetResult:
    """What became of one worksheet, or would.

    Attributes:
        unchanged: it was right already, and nothing was written.
        checksum: as the spreadsheet has it; of raw data, that of the last rows.
        edited: read back it was not what had been written: somebody has changed it since.
    """

    difference: Difference
    unchanged: bool
    checksum: str
    edited: bool = False

    @property
    def rows(self) -> int:
        """Rows that it has, without headers; of raw data, those of all its tabs."""
        return self.difference.after


@dataclass(frozen=True)
class ExportResult:
    """What an export did, or would.

    Attributes:
        export_id: its row in ``referrals.sheet_export``, the last if there are several; None after a dry run.
        snapshot_at: the moment of the database that the worksheets show.
        link: the spreadsheet's address for people.
        worksheets: by name.
        cells_cut: texts that were longer than a cell takes.
        reads: requests that read.
        writes: requests that write.
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
    limits: Limits | None = None,
) -> ExportResult:
    """Bring these worksheets up to date.

    Args:
        connection: of the platform's role, outside any transaction. The spreadsheet may take its turns by the same.
        tenant: whose worksheets.
        spreadsheet: where they are.
        names: of the worksheets.
        dry_run: read and compare, and write nothing anywhere.
        progress: is told how many rows are laid out.
        limits: others than the usual.

    Raises:
        BusyError: another export to the spreadsheet is under way.
        ConfigurationError: the spreadsheet is not there, not shared, another tenant's, or full; says what to do.
        OutcomeUnknownError: nobody says whether the change was made. The next export finds out.
        SourceError: Google Sheets failed. The spreadsheet is as before, or as it is to be.
    """
    limits = limits or Limits()
    lock = locks.spreadsheet(spreadsheet.spreadsheet_id, link=spreadsheet.url)
    with locks.held(connection, lock, wait_seconds=limits.wait):
        return _Export(connection, tenant, spreadsheet, limits, progress).run(names, dry_run=dry_run)


class _Export:
    def __init__(
        self,
        connection: psycopg.Connection,
        tenant: Tenant,
        spreadsheet: Spreadsheet,
        limits: Limits,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._spreadsheet = spreadsheet
        self._limits = limits
        self._progress = progress
        self._book = Book(connection, tenant.tenant_id, spreadsheet.spreadsheet_id)

    def run(self, names: Collection[str], *, dry_run: bool) -> ExportResult:
        """As many changes as it takes until no event waits. The last one has the summaries, all of one snapshot."""
        requests = self._spreadsheet.requests
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
            link=self._spreadsheet.url,
            worksheets={name: results[name] for name in names if name in results},
            cells_cut=cut,
            reads=requests.reads - reads,
            writes=requests.writes - writes,
        )

    def _change(self, names: Collection[str], *, dry_run: bool) -> tuple[Plan, set[str]]:
        """One change of the spreadsheet; returns what it was, and the worksheets that somebody edited since."""
        export_id = uuid4()
        try:
            sheets = self._sheets() if dry_run else self._fenced()
            plan = self._plan(export_id, sheets, names, dry_run=dry_run)
            if dry_run or not plan.changes:
                return plan, set()
            staging = Staging(layout.new_sheet_id(sheets.values()), plan.changes)
            self._stage(staging)
            with tenant_transaction(self._connection, self._tenant.tenant_id):
                self._book.hand_over(export_id)
        except Exception as error:
            if not dry_run:
                self._failed(export_id, error)
            raise
        self._show(plan, sheets, staging)
        edited = self._read_back(plan)
        with tenant_transaction(self._connection, self._tenant.tenant_id):
            self._book.end(export_id, "confirmed", plan.full)
            self._book.refreshed(plan.stale)
        return plan, edited

    def _fenced(self) -> dict[str, SheetInfo]:
        """The tabs, without those that an earlier export needs for a change that may be on its way."""
        failure: SourceError | None = None
        for _ in range(self._limits.attempts):
            sheets = self._sheets()
            left = [sheet for sheet in sheets.values() if sheet.title.startswith(layout.STAGING)]
            if not left:
                return sheets
            try:
                self._spreadsheet.change([{"deleteSheet": {"sheetId": sheet.sheet_id}} for sheet in left])
            except SourceError as error:
                # Refused, perhaps: the change came in between and has deleted its tab itself.
                if error.transient and not isinstance(error, OutcomeUnknownError):
                    raise
                failure = error
        raise failure or SourceError(f"{self._spreadsheet.url}: staging tabs come again and again.", transient=True)

    def _plan(self, export_id: UUID, sheets: Mapping[str, SheetInfo], names: Collection[str], *, dry_run: bool) -> Plan:
        with tenant_transaction(self._connection, self._tenant.tenant_id):
            unfinished = self._book.unfinished()
        shown = {each.export_id for each in self._shown(sheets).values()} if unfinished else set()
        ended = {earlier: str(earlier) in shown for earlier in unfinished}
        raw = None
        if RAW_DATA in names:
            with tenant_transaction(self._connection, self._tenant.tenant_id):
                last = self._book.last_position(without=[each for each, happened in ended.items() if not happened])
                raw = RawData(last, self._book.stale_positions(last), self._limits.rows_per_tab)
        live = self._live(sheets, [*picture.summary_ranges(sheets, names), *(raw.ranges(sheets) if raw else [])])
        planner = Planner(self._connection, self._tenant, self._book, self._spreadsheet.url, self._limits, ended)
        return planner.plan(export_id, live, raw, names, dry_run=dry_run)

    def _stage(self, staging: Staging) -> None:
        """Lay out the rows in a hidden tab."""
        self._settle([staging.request()], lambda: staging.title in self._sheets())
        rows = staging.rows
        self._progress(0, len(rows))
        for first, chunk in self._chunks(rows):
            last = first + len(chunk) - 1
            self._spreadsheet.write([(layout.area(staging.title, first, last, staging.grid[1]), chunk)])
            self._progress(last, len(rows))

    def _chunks(self, rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
        """Rows that one request can write, with the number of the first of them."""
        start, size = 0, 0
        for index, row in enumerate(rows):
            bytes_of_row = len(orjson.dumps(row)) + 1
            if size + bytes_of_row > self._limits.payload and index > start:
                yield start + 1, rows[start:index]
                start, size = index, 0
            size += bytes_of_row
        yield start + 1, rows[start:]

    def _show(self, plan: Plan, sheets: Mapping[str, SheetInfo], staging: Staging) -> None:
        """Take over what is staged, in one change."""
        requests = layout.swap(sheets, staging, plan.shown(self._tenant.tenant_id))

        def done() -> bool:
            now = self._sheets()
            shown = {each.export_id for each in self._shown(now).values()}
            return staging.title not in now and str(plan.export_id) in shown

        try:
            self._settle(requests, done)
        except OutcomeUnknownError as error:
            self._end(plan.export_id, "unknown", str(error))
            raise
        except PlatformError as error:
            self._failed(plan.export_id, error)
            raise

    def _settle(self, requests: Sequence[Mapping[str, Any]], done: Callable[[], bool]) -> None:
        """Make a change that cannot be made twice, and find out whether it was.

        Raises:
            OutcomeUnknownError: it may have been made, or may yet be.
            PlatformError: it was refused, and not made.
        """
        unknown: OutcomeUnknownError | None = None
        for attempt in range(self._limits.attempts):
            if attempt:
                time.sleep(self._limits.pause * 2 ** (attempt - 1))
            try:
                self._spreadsheet.change(requests)
            except OutcomeUnknownError as error:
                unknown = error
            except PlatformError:
                if unknown is None:
                    raise
                # Refused, perhaps, because an attempt before was made after all.
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
            SourceError: it says that it shows something else.
        """
        ranges = [layout.STATE_RANGE, *(at for each in plan.worksheets.values() for at in each.read_back)]
        values = dict(zip(ranges, self._spreadsheet.values(ranges), strict=True))
        shown = layout.read_state(values[layout.STATE_RANGE], self._tenant.tenant_id)
        wanted = {each.worksheet: each for each in plan.shown(self._tenant.tenant_id)}
        others = [name for name, each in wanted.items() if shown.get(name) != each]
        if others:
            error = SourceError(
                f"{self._spreadsheet.url} was changed, and says of {', '.join(others)} that it shows another export. "
                "Does somebody else write there? The next export finds out what it has.",
                transient=True,
            )
            self._end(plan.export_id, "unknown", str(error))
            raise error
        return {
            name
            for name, each in plan.worksheets.items()
            for at, rows in each.read_back.items()
            if normal(values[at], len(rows[0])) != normal(rows, len(rows[0]))
        }

    def _sheets(self) -> dict[str, SheetInfo]:
        return {sheet.title: sheet for sheet in self._spreadsheet.sheets()}

    def _shown(self, sheets: Mapping[str, SheetInfo]) -> dict[str, Shown]:
        return dict(self._live(sheets, []).shown)

    def _live(self, sheets: Mapping[str, SheetInfo], ranges: Sequence[str]) -> Live:
        """What is in these ranges, and what the spreadsheet says of itself, in one request."""
        state = layout.readable_state(sheets)
        asked = [*([state] if state else []), *ranges]
        values = dict(zip(asked, self._spreadsheet.values(asked), strict=True)) if asked else {}
        shown = layout.read_state(values[state], self._tenant.tenant_id) if state else {}
        return Live(sheets, shown, values)

    def _failed(self, export_id: UUID, error: Exception) -> None:
        """Write down that the spreadsheet is as before, also for an export that was not written down yet."""
        # Whatever is wrong with the database is told by the error itself; the next export finds this one as it is.
        with suppress(psycopg.Error), tenant_transaction(self._connection, self._tenant.tenant_id):
            self._book.begin(export_id, self._spreadsheet.url)
            self._book.end(
                export_id, "failed", str(error) if isinstance(error, PlatformError) else type(error).__name__
            )

    def _end(self, export_id: UUID, outcome: str, reason: str) -> None:
        with tenant_transaction(self._connection, self._tenant.tenant_id):
            self._book.end(export_id, outcome, reason)


def _joined(earlier: WorksheetResult, later: WorksheetResult) -> WorksheetResult:
    """One result of two changes."""
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
