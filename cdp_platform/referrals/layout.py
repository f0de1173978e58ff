"""How the worksheets lie in a spreadsheet: its tabs, what they say of themselves, and the requests that change them.

The hidden tab ``_cdp_export`` has a row for each worksheet: which export it shows, of which moment, with how many rows
and which checksum. It changes in the same request as the worksheets. In a tab that begins with ``_cdp_staging_`` an
export lays out its rows before; its change of the spreadsheet deletes this tab, so it cannot be made twice.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp_platform.errors import ConfigurationError
from cdp_platform.referrals.worksheets import COLUMNS, RAW_DATA, Row
from cdp_platform.resources.sheets import SheetInfo

STATE = "_cdp_export"
STAGING = "_cdp_staging_"

_STATE_COLUMNS = ["Worksheet", "ExportID", "SnapshotAt", "Rows", "Checksum", "Tab", "TenantID"]
STATE_RANGE = f"'{STATE}'!A1:{chr(ord('A') + len(_STATE_COLUMNS) - 1)}{len(COLUMNS) + 1}"
_LARGEST_SHEET_ID = 2**31


@dataclass(frozen=True)
class Shown:
    """What the spreadsheet says that one worksheet shows.

    Attributes:
        rows: without headers; of raw data, those of all tabs.
        checksum: of the worksheet; of raw data, of the last rows of its last tab.
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
        """As it stands in the spreadsheet."""
        values = (self.worksheet, self.export_id, self.snapshot_at, self.rows, self.checksum, self.tab, self.tenant_id)
        return list(values)


@dataclass(frozen=True)
class TabChange:
    """What is to change in one tab.

    Attributes:
        pastes: the first row, counted from 1, and the rows from there on.
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
        """Rows and columns of the tab afterwards. Columns are never taken away: some may be frozen."""
        rows, columns = (now.rows, now.columns) if now else (0, 0)
        # Below a frozen header there has to be a row.
        return max(self.last_row, 2 if self.whole else rows), max(self.columns, columns)


@dataclass(frozen=True)
class Staging:
    """The tab where the rows of an export are laid out, all below each other.

    Attributes:
        changes: whose rows they are, in this order.
    """

    sheet_id: int
    changes: Sequence[TabChange]

    @property
    def title(self) -> str:
        """The title of the tab."""
        return f"{STAGING}{self.sheet_id}"

    @property
    def rows(self) -> list[Row]:
        """All that is laid out."""
        return [row for change in self.changes for _, rows in change.pastes for row in rows]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the tab."""
        height = sum(len(rows) for change in self.changes for _, rows in change.pastes)
        return height, max(change.columns for change in self.changes)

    def request(self) -> dict[str, Any]:
        """Makes the tab."""
        return _add(self.sheet_id, self.title, self.grid, hidden=True)


def tab_of(tab_number: int) -> str:
    """The title of a tab of raw data, counted from 0."""
    return RAW_DATA if tab_number == 0 else f"{RAW_DATA}_{tab_number + 1}"


def area(title: str, first_row: int, last_row: int, columns: int) -> str:
    """Rows of a tab from its first column on, in A1 notation."""
    return f"'{title}'!A{first_row}:{chr(ord('A') + columns - 1)}{last_row}"


def new_sheet_id(sheets: Iterable[SheetInfo]) -> int:
    """An id that no tab has."""
    known = {sheet.sheet_id for sheet in sheets}
    while (found := 1 + secrets.randbelow(_LARGEST_SHEET_ID - 1)) in known:
        pass
    return found


def readable_state(sheets: Mapping[str, SheetInfo]) -> str | None:
    """``STATE_RANGE`` if the spreadsheet has it; None if it never had, or not any more."""
    sheet = sheets.get(STATE)
    large_enough = sheet and sheet.rows > len(COLUMNS) and sheet.columns >= len(_STATE_COLUMNS)
    return STATE_RANGE if large_enough else None


def read_state(rows: Sequence[Sequence[Any]], tenant_id: str) -> dict[str, Shown]:
    """What the spreadsheet says of each worksheet, as far as it is readable.

    Raises:
        ConfigurationError: it belongs to another tenant.
    """
    found = {}
    for worksheet, row in zip(COLUMNS, rows[1:], strict=False):
        if len(row) != len(_STATE_COLUMNS) or row[0] != worksheet or not isinstance(row[3], int | float):
            continue
        shown = Shown(worksheet, str(row[1]), str(row[2]), int(row[3]), str(row[4]), str(row[5]), str(row[6]))
        if shown.tenant_id != tenant_id:
            raise ConfigurationError(
                f"The spreadsheet has the worksheets of tenant {shown.tenant_id}; {tenant_id} would write the same. "
                "Give each tenant one of its own: `cdp tenant add ID --google-sheet-id SPREADSHEET`."
            )
        found[worksheet] = shown
    return found


def swap(sheets: Mapping[str, SheetInfo], staging: Staging, shown: Iterable[Shown]) -> list[dict[str, Any]]:
    """The requests that show what is staged, to be sent as one change. Sent twice, the second is refused whole."""
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
    return [*requests, *_show(sheets, shown), {"deleteSheet": {"sheetId": staging.sheet_id}}]


def _show(sheets: Mapping[str, SheetInfo], shown: Iterable[Shown]) -> list[dict[str, Any]]:
    """The requests that make the spreadsheet say what it shows."""
    now, size = sheets.get(STATE), (len(COLUMNS) + 1, len(_STATE_COLUMNS))
    sheet_id = now.sheet_id if now else new_sheet_id(sheets.values())
    if now is None:
        requests = [_add(sheet_id, STATE, size, hidden=True)]
    else:
        requests = [_resize(sheet_id, size)] if readable_state(sheets) is None else []
    lines: dict[int, Row] = {0: [*_STATE_COLUMNS]}
    lines |= {list(COLUMNS).index(each.worksheet) + 1: each.row for each in shown}
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
    """A tab of this size without values, whose first row is a header."""
    return [
        # All at once: rows that somebody else has frozen may be among those that go.
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
