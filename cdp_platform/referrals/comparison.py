"""Compares what a spreadsheet has with what it should have: which tabs have to change, and by which rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias

from cdp_platform.referrals.tabs import Note, TabChange, area, tab_of
from cdp_platform.referrals.worksheets import COLUMNS, RAW_DATA, SUMMARIES, Row, checksum, normal
from cdp_platform.resources.sheets import SheetInfo

# Reads the rows of raw data by their positions.
ReadRows: TypeAlias = Callable[[range | Sequence[int]], Mapping[int, Row]]

_SAMPLE = 5
# The number of rows at the end of raw data that are compared before anything is appended, and read back afterwards.
_TAIL = 200
# With more rows to write again, the whole tab is written: each row is looked up first, and the ranges of all rows have
# to fit into one URL.
_MOST_PATCHES = 20
_RAW_COLUMNS = len(COLUMNS[RAW_DATA])
# The first columns, time, kind and link of an event: they identify its row and are not personal data.
_IDENTITY = 3


@dataclass(frozen=True)
class SpreadsheetContent:
    """The content that was read from a spreadsheet.

    Attributes:
        sheets: its tabs by title.
        notes: its notes by worksheet.
        values: its cells by range.
    """

    sheets: Mapping[str, SheetInfo]
    notes: Mapping[str, Note]
    values: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """How a worksheet changes, in rows without headers. Raw data counts the rows of all its tabs.

    Attributes:
        before: rows that it has.
        after: rows that it should have.
        changed: rows with other values; for raw data, all rows that are written again.
        sample: some rows of a summary, before and after; None where there is no such row.
    """

    before: int
    after: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    sample: Sequence[tuple[Row | None, Row | None]] = ()


@dataclass(frozen=True)
class WorksheetPlan:
    """The content that one worksheet should have.

    Attributes:
        changes: of its tabs; empty if they are right.
        tab: the title of its last tab.
        checksum: of its rows; for raw data, of the last rows of that tab.
        read_back: ranges that are read back afterwards, and the rows that they should have.
    """

    name: str
    difference: Difference
    changes: Sequence[TabChange]
    tab: str
    checksum: str
    read_back: Mapping[str, Sequence[Row]]


def summary_ranges(sheets: Mapping[str, SheetInfo], names: Collection[str]) -> list[str]:
    """The ranges that have to be read to compare summaries: everything in their tabs."""
    return [_everything(name) for name in SUMMARIES if name in names and name in sheets]


def compare_summary(content: SpreadsheetContent, name: str, rows: Sequence[Row]) -> WorksheetPlan:
    """The plan of a summary that should have these rows and nothing else."""
    header = COLUMNS[name]
    wanted = [header, *rows]
    found = normal(content.values.get(_everything(name), ()), len(header))
    proof = checksum(name, rows)
    right = found == wanted and name in content.notes and content.notes[name].checksum == proof
    return WorksheetPlan(
        name=name,
        difference=_difference(found[1:], rows),
        changes=() if right else (TabChange(name, len(header), [(1, wanted)], whole=True),),
        tab=name,
        checksum=proof,
        read_back={_everything(name): wanted},
    )


def _difference(found: Sequence[Row], rows: Sequence[Row]) -> Difference:
    """By the first column, which is the key of every summary."""
    before, after = ({row[0]: row for row in some} for some in (found, rows))
    pairs = [(before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])]
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    added, removed = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    return Difference(
        before=len(found),
        after=len(rows),
        added=added,
        changed=len(differing) - added - removed,
        removed=removed,
        sample=differing[:_SAMPLE],
    )


def _everything(title: str) -> str:
    return f"'{title}'"


@dataclass(frozen=True)
class RawData:
    """The rows of raw data: the event at position p, counted from 1, has a row in tab (p - 1) // rows_per_tab.

    A full tab is closed: the platform does not look at it any more, and only changes rows of erased persons there.

    Attributes:
        last: the position of the last event that the spreadsheet has.
        stale: positions whose rows have to be written again.
    """

    last: int
    stale: Sequence[int]
    rows_per_tab: int

    @property
    def tab_number(self) -> int:
        """The tab that takes the next event, counted from 0."""
        return self.last // self.rows_per_tab

    @property
    def held(self) -> int:
        """The number of events in that tab."""
        return self.last % self.rows_per_tab

    @property
    def room(self) -> int:
        """The number of further events that fit into it."""
        return self.rows_per_tab - self.held

    def ranges(self, sheets: Mapping[str, SheetInfo]) -> list[str]:
        """The ranges that have to be read to find out whether everything is where an export left it."""
        found = [*self._tail_ranges(sheets)]
        for number, positions in self._stale_tabs(sheets).items():
            if self._can_be_patched(sheets[tab_of(number)], positions):
                found += map(self._identity_range, positions)
        return found

    def worksheet(self, content: SpreadsheetContent, new: int, read: ReadRows) -> WorksheetPlan:
        """The plan of raw data with this number of new events, which have the positions after the last.

        If the tab that takes them was edited, it is written again as a whole.
        """
        tail = self._tail(content)
        rewritten, patches = self._stale_rows(content, read, tail_is_right=tail is not None)
        closed = new == 0 and self.held == 0 and self.last > 0
        if tail is None and not closed:
            rewritten.add(self.tab_number)
        changes = [self._rewrite(number, new, read) for number in sorted(rewritten)]
        appended: list[Row] = []
        for number in sorted({*patches, self.tab_number} - rewritten):
            pastes = [(self._row(position), [row]) for position, row in patches.get(number, {}).items()]
            if number == self.tab_number and new:
                appended = [*read(range(self.last + 1, self.last + new + 1)).values()]
                pastes.append((self.held + 2, appended))
            if pastes:
                changes.append(TabChange(tab_of(number), _RAW_COLUMNS, pastes, whole=False))
        again = sum(len(rows) for change in changes for _, rows in change.pastes) - len(rewritten) - new
        difference = Difference(self.last, self.last + new, added=new, changed=again)
        if closed and self.tab_number not in rewritten:
            before = content.notes.get(RAW_DATA)
            tab, proof = (before.tab, before.checksum) if before else (tab_of(self.tab_number - 1), "")
            return WorksheetPlan(RAW_DATA, difference, changes, tab, proof, {})
        if self.tab_number in rewritten:
            (whole,) = [change for change in changes if change.title == tab_of(self.tab_number)]
            ((_, rows),) = whole.pastes
            end = [*rows[1:]][-_TAIL:]
        else:
            mended = patches.get(self.tab_number, {})
            first = self.last - len(tail or ()) + 1
            end = [mended.get(position, row) for position, row in enumerate(tail or (), first)]
            end = [*end, *appended][-_TAIL:]
        title, last_row = tab_of(self.tab_number), self.held + new + 1
        read_back = {area(title, 1, 1, _RAW_COLUMNS): [COLUMNS[RAW_DATA]]}
        if end:
            read_back[area(title, last_row - len(end) + 1, last_row, _RAW_COLUMNS)] = end
        return WorksheetPlan(RAW_DATA, difference, changes, title, checksum(RAW_DATA, end), read_back)

    def _tail_ranges(self, sheets: Mapping[str, SheetInfo]) -> tuple[str, str] | tuple[()]:
        """The header, and the last rows with the row below them; empty if the tab is too small to have them."""
        title = tab_of(self.tab_number)
        sheet = sheets.get(title)
        if sheet is None or sheet.columns < _RAW_COLUMNS or sheet.rows < max(self.held + 1, 2):
            return ()
        first = self.held + 2 - min(self.held, _TAIL)
        return (
            area(title, 1, 1, _RAW_COLUMNS),
            area(title, first, min(self.held + 2, sheet.rows), _RAW_COLUMNS),
        )

    def _tail(self, content: SpreadsheetContent) -> list[Row] | None:
        """The last rows of the tab that takes the next event; None if somebody edited the tab."""
        note, ranges = content.notes.get(RAW_DATA), self._tail_ranges(content.sheets)
        if not ranges or note is None or (note.tab, note.rows) != (tab_of(self.tab_number), self.last):
            return None
        header, found = (normal(content.values[each], _RAW_COLUMNS) for each in ranges)
        count = min(self.held, _TAIL)
        blank: Row = [""] * _RAW_COLUMNS
        tail = [*found, *[blank] * (count - len(found))]
        if header != [COLUMNS[RAW_DATA]] or len(tail) > count or checksum(RAW_DATA, tail) != note.checksum:
            return None
        return tail

    def _stale_rows(
        self, content: SpreadsheetContent, read: ReadRows, *, tail_is_right: bool
    ) -> tuple[set[int], dict[int, Mapping[int, Row]]]:
        """Tabs that stale rows require to be written again, and the rows that can be written in the other tabs."""
        rewritten: set[int] = set()
        patches: dict[int, Mapping[int, Row]] = {}
        for number, positions in self._stale_tabs(content.sheets).items():
            if number == self.tab_number and not tail_is_right:
                continue
            if not self._can_be_patched(content.sheets[tab_of(number)], positions):
                rewritten.add(number)
                continue
            rows = read(positions)
            found = {at: normal(content.values[self._identity_range(at)], _IDENTITY) for at in positions}
            if all(found[position] == [row[:_IDENTITY]] for position, row in rows.items()):
                patches[number] = rows
            else:
                rewritten.add(number)
        return rewritten, patches

    def _stale_tabs(self, sheets: Mapping[str, SheetInfo]) -> dict[int, list[int]]:
        """Stale positions by the number of their tab, without tabs that somebody deleted."""
        tabs = {number: [*group] for number, group in groupby(self.stale, lambda at: (at - 1) // self.rows_per_tab)}
        return {number: positions for number, positions in tabs.items() if tab_of(number) in sheets}

    def _can_be_patched(self, sheet: SheetInfo, positions: Sequence[int]) -> bool:
        return (
            len(positions) <= _MOST_PATCHES
            and sheet.columns >= _RAW_COLUMNS
            and sheet.rows >= max(map(self._row, positions))
        )

    def _rewrite(self, number: int, new: int, read: ReadRows) -> TabChange:
        first = number * self.rows_per_tab + 1
        end = min(first + self.rows_per_tab, self.last + new + 1)
        rows = [COLUMNS[RAW_DATA], *read(range(first, end)).values()]
        return TabChange(tab_of(number), _RAW_COLUMNS, [(1, rows)], whole=True)

    def _identity_range(self, position: int) -> str:
        row = self._row(position)
        return area(tab_of((position - 1) // self.rows_per_tab), row, row, _IDENTITY)

    def _row(self, position: int) -> int:
        return (position - 1) % self.rows_per_tab + 2
