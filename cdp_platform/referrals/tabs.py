"""The tabs of a spreadsheet: their titles, the platform's notes about them, and the requests that change them.

The hidden tab ``_cdp_export`` has one note per worksheet: the export that wrote it, the moment of its data, the number
of its rows and their checksum. Notes change in the same request as the worksheets. Before that, an export writes its
rows to a tab whose title begins with ``_cdp_staging_``. The request deletes this tab, so it cannot be carried out
twice.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp_platform.errors import ConfigurationError
from cdp_platform.referrals.worksheets import COLUMNS, RAW_DATA, Row
from cdp_platform.resources.sheets import SheetInfo

NOTES = "_cdp_export"
STAGING = "_cdp_staging_"

_NOTE_COLUMNS = ["Worksheet", "ExportID", "SnapshotAt", "Rows", "Checksum", "Tab", "TenantID"]
NOTES_RANGE = f"'{NOTES}'!A1:{chr(ord('A') + len(_NOTE_COLUMNS) - 1)}{len(COLUMNS) + 1}"
_LARGEST_SHEET_ID = 2**31


@dataclass(frozen=True)
class Note:
    """The spreadsheet's note about one worksheet.

    Attributes:
        rows: without headers; for raw data, those of all tabs.
        checksum: of the worksheet; for raw data, of the last rows of its last tab.
        tab: the title of its last tab.
    """

    worksheet: str
    export_id: str
    snapshot_at: str
    rows: int
    checksum: str
    tab: str
    tenant_id: str

    @property
    def row(self) -> Row:
        """As it is written in the spreadsheet."""
        values = (self.worksheet, self.export_id, self.snapshot_at, self.rows, self.checksum, self.tab, self.tenant_id)
        return list(values)


@dataclass(frozen=True)
class TabChange:
    """The change of one tab.

    Attributes:
        pastes: the number of the first row, counted from 1, and the rows from there on.
        whole: nothing else stays in the tab; the pastes begin with its header.
    """

    title: str
    columns: int
    pastes: Sequence[tuple[int, Sequence[Row]]]
    whole: bool

    @property
    def last_row(self) -> int:
        """The last row that is written."""
        return max(first + len(rows) - 1 for first, rows in self.pastes)

    def grid(self, now: SheetInfo | None) -> tuple[int, int]:
        """Rows and columns of the tab afterwards. Columns are never removed: some may be frozen."""
        rows, columns = (now.rows, now.columns) if now else (0, 0)
        # Google requires a row below a frozen header.
        return max(self.last_row, 2 if self.whole else rows), max(self.columns, columns)


@dataclass(frozen=True)
class Staging:
    """The hidden tab to which an export writes the rows of all changes, one below the other.

    Attributes:
        changes: in the order of their rows.
    """

    sheet_id: int
    changes: Sequence[TabChange]

    @property
    def title(self) -> str:
        """The title of the tab."""
        return f"{STAGING}{self.sheet_id}"

    @property
    def rows(self) -> list[Row]:
        """The rows of all changes."""
        return [row for change in self.changes for _, rows in change.pastes for row in rows]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the tab."""
        height = sum(len(rows) for change in self.changes for _, rows in change.pastes)
        return height, max(change.columns for change in self.changes)

    def request(self) -> dict[str, Any]:
        """The request that makes the tab."""
        return _add(self.sheet_id, self.title, self.grid, hidden=True)


def tab_of(tab_number: int) -> str:
    """The title of a tab of raw data, counted from 0."""
    return RAW_DATA if tab_number == 0 else f"{RAW_DATA}_{tab_number + 1}"


def area(title: str, first_row: int, last_row: int, columns: int) -> str:
    """Rows of a tab from its first column on, in A1 notation."""
    return f"'{title}'!A{first_row}:{chr(ord('A') + columns - 1)}{last_row}"


def new_sheet_id(sheets: Iterable[SheetInfo]) -> int:
    """An id that no tab has yet."""
    known = {sheet.sheet_id for sheet in sheets}
    while (found := 1 + secrets.randbelow(_LARGEST_SHEET_ID - 1)) in known:
        pass
    return found


def readable_notes(sheets: Mapping[str, SheetInfo]) -> str | None:
    """``NOTES_RANGE`` if the spreadsheet has the tab of notes in its full size, else None."""
    sheet = sheets.get(NOTES)
    large_enough = sheet and sheet.rows > len(COLUMNS) and sheet.columns >= len(_NOTE_COLUMNS)
    return NOTES_RANGE if large_enough else None


def read_notes(rows: Sequence[Sequence[Any]], tenant_id: str) -> dict[str, Note]:
    """The notes by worksheet, without those that somebody made unreadable.

    Raises:
        ConfigurationError: the spreadsheet belongs to another tenant.
    """
    found = {}
    for worksheet, row in zip(COLUMNS, rows[1:], strict=False):
        if len(row) != len(_NOTE_COLUMNS) or row[0] != worksheet or not isinstance(row[3], int | float):
            continue
        note = Note(worksheet, str(row[1]), str(row[2]), int(row[3]), str(row[4]), str(row[5]), str(row[6]))
        if note.tenant_id != tenant_id:
            raise ConfigurationError(
                f"The spreadsheet has the worksheets of tenant {note.tenant_id}; {tenant_id} would write the same. "
                "Give each tenant one of its own: `cdp tenant add ID --google-sheet-id SPREADSHEET`."
            )
        found[worksheet] = note
    return found


def take_over(sheets: Mapping[str, SheetInfo], staging: Staging, notes: Iterable[Note]) -> list[dict[str, Any]]:
    """The requests of one change that copy the staged rows to their tabs. Sent twice, Google refuses the second."""
    requests: list[dict[str, Any]] = []
    source_row = 0
    for change in staging.changes:
        now = sheets.get(change.title)
        sheet_id = now.sheet_id if now else new_sheet_id(sheets.values())
        if now is None:
            requests.append(_add(sheet_id, change.title, change.grid(None)))
        if change.whole:
            requests += _emptied(sheet_id, change.grid(now))
        elif now and change.grid(now) != (now.rows, now.columns):
            requests.append(_resize(sheet_id, change.grid(now)))
        for first_row, rows in change.pastes:
            requests.append(
                {
                    "copyPaste": {
                        "source": _grid_range(staging.sheet_id, source_row, len(rows), change.columns),
                        "destination": _grid_range(sheet_id, first_row - 1, len(rows), change.columns),
                        "pasteType": "PASTE_VALUES",
                    }
                }
            )
            source_row += len(rows)
    return [*requests, *_write_notes(sheets, notes), {"deleteSheet": {"sheetId": staging.sheet_id}}]


def _write_notes(sheets: Mapping[str, SheetInfo], notes: Iterable[Note]) -> list[dict[str, Any]]:
    """The requests that write the header of the notes and these notes."""
    now, size = sheets.get(NOTES), (len(COLUMNS) + 1, len(_NOTE_COLUMNS))
    sheet_id = now.sheet_id if now else new_sheet_id(sheets.values())
    if now is None:
        requests = [_add(sheet_id, NOTES, size, hidden=True)]
    else:
        requests = [_resize(sheet_id, size)] if readable_notes(sheets) is None else []
    lines: dict[int, Row] = {0: [*_NOTE_COLUMNS]}
    lines |= {list(COLUMNS).index(each.worksheet) + 1: each.row for each in notes}
    return [
        *requests,
        *(
            {
                "updateCells": {
                    "start": {"sheetId": sheet_id, "rowIndex": index, "columnIndex": 0},
                    "rows": [{"values": [_cell(value) for value in line]}],
                    "fields": "userEnteredValue",
                }
            }
            for index, line in lines.items()
        ),
    ]


def _add(sheet_id: int, title: str, size: tuple[int, int], *, hidden: bool = False) -> dict[str, Any]:
    grid = {"rowCount": size[0], "columnCount": size[1]}
    return {"addSheet": {"properties": {"sheetId": sheet_id, "title": title, "hidden": hidden, "gridProperties": grid}}}


def _resize(sheet_id: int, size: tuple[int, int]) -> dict[str, Any]:
    return _properties(sheet_id, {"rowCount": size[0], "columnCount": size[1]})


def _properties(sheet_id: int, grid: dict[str, int]) -> dict[str, Any]:
    return {
        "updateSheetProperties": {
            "properties": {"sheetId": sheet_id, "gridProperties": grid},
            "fields": ",".join(f"gridProperties.{name}" for name in grid),
        }
    }


def _emptied(sheet_id: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """The requests that leave a tab of this size without values, with its first row as header."""
    return [
        # In one request: somebody may have frozen rows that are removed here.
        _properties(sheet_id, {"rowCount": size[0], "columnCount": size[1], "frozenRowCount": 1}),
        {"unmergeCells": {"range": {"sheetId": sheet_id}}},
        {"updateCells": {"range": {"sheetId": sheet_id}, "fields": "userEnteredValue"}},
        {
            "repeatCell": {
                "range": {"sheetId": sheet_id, "startRowIndex": 0, "endRowIndex": 1},
                "cell": {"userEnteredFormat": {"textFormat": {"bold": True}}},
                "fields": "userEnteredFormat.textFormat.bold",
            }
        },
    ]


def _grid_range(sheet_id: int, first_row: int, rows: int, columns: int) -> dict[str, int]:
    return {
        "sheetId": sheet_id,
        "startRowIndex": first_row,
        "endRowIndex": first_row + rows,
        "startColumnIndex": 0,
        "endColumnIndex": columns,
    }


def _cell(value: Any) -> dict[str, Any]:
    kind = "stringValue" if isinstance(value, str) else "numberValue"
    return {"userEnteredValue": {kind: value}}
