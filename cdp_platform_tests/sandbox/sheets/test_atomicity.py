"""Properties of batches: all of one or nothing of it, whatever it is made of."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_platform_tests.sandbox.sheets.conftest import Google

_http = httpx2.Client(timeout=30)

INDEXES = st.integers(0, 10)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab=1'", max_size=3))
ROWS = st.lists(st.lists(VALUES, max_size=4), max_size=4)
SHEETS = st.sampled_from([0, 0, 0, 1, 2])


@st.composite
def boxes(draw: st.DrawFn) -> dict[str, int]:
    top, left = draw(INDEXES), draw(INDEXES)
    return {
        "sheetId": draw(SHEETS),
        "startRowIndex": top,
        "endRowIndex": top + draw(st.integers(0, 4)),
        "startColumnIndex": left,
        "endColumnIndex": left + draw(st.integers(0, 4)),
    }


def row_data(rows: list[list[Any]]) -> list[dict[str, Any]]:
    def cell(value: Any) -> dict[str, Any]:
        kind = "boolValue" if isinstance(value, bool) else "stringValue" if isinstance(value, str) else "numberValue"
        return {} if value is None else {"userEnteredValue": {kind: value}}

    return [{"values": [cell(value) for value in row]} for row in rows]


@st.composite
def lines(draw: st.DrawFn) -> dict[str, Any]:
    start = draw(INDEXES)
    return {
        "sheetId": draw(SHEETS),
        "dimension": draw(st.sampled_from(["ROWS", "COLUMNS"])),
        "startIndex": start,
        "endIndex": start + draw(st.integers(0, 3)),
    }


def request(kind: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({kind: st.fixed_dictionaries(parts)})


def properties(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"sheetId": SHEETS, **parts})


TITLES = st.sampled_from(["a", "b", "c", "", "Sheet1"])
GRID = st.fixed_dictionaries({"rowCount": INDEXES, "columnCount": INDEXES})
CELL = st.just({"note": "n", "userEnteredFormat": {"textFormat": {"bold": True}}})
REQUESTS = st.one_of(
    request("addSheet", properties=properties(title=TITLES, gridProperties=GRID)),
    request("deleteSheet", sheetId=SHEETS),
    request("duplicateSheet", sourceSheetId=SHEETS, newSheetId=SHEETS, newSheetName=TITLES),
    request(
        "updateSheetProperties",
        properties=properties(title=TITLES, index=INDEXES, hidden=st.booleans(), gridProperties=GRID),
        fields=st.sampled_from(["title", "index", "hidden", "gridProperties(rowCount,columnCount)", "colour"]),
    ),
    request("updateCells", range=boxes(), rows=ROWS.map(row_data), fields=st.just("userEnteredValue")),
    request("appendCells", sheetId=SHEETS, rows=ROWS.map(row_data), fields=st.just("userEnteredValue")),
    request("repeatCell", range=boxes(), cell=CELL, fields=st.sampled_from(["*", "note"])),
    request("copyPaste", source=boxes(), destination=boxes()),
    request("cutPaste", source=boxes(), destination=properties(rowIndex=INDEXES, columnIndex=INDEXES)),
    request("insertDimension", range=lines()),
    request("deleteDimension", range=lines()),
    request("moveDimension", source=lines(), destinationIndex=INDEXES),
    request("mergeCells", range=boxes()),
    request("unmergeCells", range=boxes()),
    request("sortRange", range=boxes(), sortSpecs=st.lists(st.fixed_dictionaries({"dimensionIndex": INDEXES}))),
)
START = {"updateCells": {"range": {"sheetId": 0}, "rows": row_data([["x", 1], ["=y"]]), "fields": "userEnteredValue"}}


@dataclass
class Book:
    """A spreadsheet of 9 rows and 9 columns with something in it, over plain HTTP."""

    google: Google
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.google.new()
        grid = {"sheetId": 0, "gridProperties": {"rowCount": 9, "columnCount": 9}}
        change = {"properties": grid, "fields": "gridProperties(rowCount,columnCount)"}
        self.send({"updateSheetProperties": change}, START).raise_for_status()

    def send(self, *requests: dict[str, Any]) -> httpx2.Response:
        return _http.post(f"{self._url}:batchUpdate", json={"requests": requests}, headers=self._headers)

    def state(self) -> dict[str, Any]:
        told = _http.get(self._url, params={"includeGridData": "true"}, headers=self._headers).raise_for_status().json()
        return {name: value for name, value in told.items() if name not in {"spreadsheetId", "spreadsheetUrl"}}

    @property
    def _url(self) -> str:
        return f"{self.google.base}/v4/spreadsheets/{self.id}"

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.google.token()}"}


@pytest.mark.usefixtures("unlimited")
def test_a_batch_is_done_whole_or_not_at_all(google: Google) -> None:
    statuses = Counter[int]()

    @settings(max_examples=120, deadline=None)
    @given(batch=st.lists(REQUESTS, min_size=1, max_size=5))
    def holds(batch: list[dict[str, Any]]) -> None:
        book = Book(google)
        before = book.state()
        answer = book.send(*batch)
        after = book.state()
        statuses[answer.status_code] += 1
        if answer.status_code == 200:
            assert len(answer.json()["replies"]) == len(batch)
            # One by one, its requests come to the same.
            twin = Book(google)
            assert [twin.send(one).status_code for one in batch] == [200] * len(batch)
            assert twin.state() == after
        else:
            assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT"), answer.text
            assert after == before

    holds()
    assert statuses.keys() == {200, 400}
