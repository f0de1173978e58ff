"""What people see of the spreadsheets: over the socket as text, and in a browser as they would."""

import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from cdp_platform_tests.browser import DESKTOP, PHONE, TOO_FAINT, TOO_SMALL, Browser, find_chromium
from cdp_platform_tests.sandbox_process import SandboxProcess
from cdp_sandbox.sheets import PATH

MARKUP = "<script>document.title = 'owned'</script>"
NASTY = [MARKUP, "<img src=x onerror=alert(1)>", "a & b &amp; c", "\"quoted\" and 'quoted'", "</td></table>", "=1+1"]
LONG = "Mozilla/5.0 <b>not bold</b> " * 20
_numbers = itertools.count(1)

Rows = list[list[Any]]


@dataclass
class Book:
    """A spreadsheet of one test, written by an account of its own."""

    web: str
    id: str
    _token: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"{self.web}/{self.id}"

    def add(self, title: str, rows: Rows, *, hidden: bool = False, frozen: int = 1) -> None:
        grid = {"rowCount": max(len(rows), 1) + 1, "columnCount": 12, "frozenRowCount": frozen}
        properties = {"title": title, "hidden": hidden, "gridProperties": grid}
        self._post(":batchUpdate", {"requests": [{"addSheet": {"properties": properties}}]})
        quoted = title.replace("'", "''")
        data = [{"range": f"'{quoted}'!A1", "values": rows}]
        self._post("/values:batchUpdate", {"valueInputOption": "RAW", "data": data})

    def get(self, **parameters: str | int) -> httpx2.Response:
        return httpx2.get(self.url, params=parameters, timeout=30)

    def excel(self) -> "Excel":
        answer = httpx2.get(f"{self.url}.xlsx", timeout=30)
        assert answer.status_code == 200, answer.text
        return Excel(answer, zipfile.ZipFile(io.BytesIO(answer.content)))

    def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"authorization": f"Bearer {self._token}"}
        answer = httpx2.post(f"{self.web}/v4/spreadsheets/{self.id}{path}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text


@dataclass
class Excel:
    """An Excel file that was downloaded, as XML."""

    answer: httpx2.Response
    archive: zipfile.ZipFile

    def part(self, name: str) -> ElementTree.Element:
        # Without its namespaces, XML is read as it is written.
        text = re.sub(r' xmlns(:\w+)?="[^"]+"', "", self.archive.read(f"xl/{name}").decode())
        return ElementTree.fromstring(re.sub(r"\b[rx]\d*:(?=\w+=)", "", text))  # noqa: S314 (our own file)

    def titles(self) -> list[str]:
        return [sheet.attrib["name"] for sheet in self.part("workbook.xml").iter("sheet")]

    def cells(self, number: int) -> dict[str, tuple[str, str]]:
        """Return type and content of each cell of a worksheet, counted from 1."""
        return {
            cell.attrib["r"]: (cell.attrib.get("t", "n"), "".join(cell.itertext()))
            for cell in self.part(f"worksheets/sheet{number}.xml").iter("c")
        }

    def style(self, number: int, place: str) -> ElementTree.Element:
        cells = self.part(f"worksheets/sheet{number}.xml").iter("c")
        (index,) = [int(cell.attrib.get("s", 0)) for cell in cells if cell.attrib["r"] == place]
        return self.part("styles.xml").findall("cellXfs/xf")[index]


@pytest.fixture
def new_book(sandbox: SandboxProcess) -> Iterator[Callable[[str], Book]]:
    made: list[str] = []

    def make(title: str) -> Book:
        number = next(_numbers)
        web = f"{sandbox.url}{PATH}"
        key = httpx2.post(f"{web}/_accounts", json={"name": f"pages-{number}"}).json()
        shared = {"title": title, "shared_with": [key["client_email"]]}
        made.append(f"{web}/_spreadsheets/pages-{number}")
        httpx2.put(made[-1], json=shared).raise_for_status()
        credentials = Credentials.from_service_account_info(
            key, scopes=["https://www.googleapis.com/auth/spreadsheets"]
        )
        credentials.refresh(Request())
        return Book(web, f"pages-{number}", str(credentials.token))

    yield make
    for address in made:
        httpx2.delete(address).raise_for_status()


@pytest.fixture
def book(new_book: Callable[[str], Book]) -> Book:
    return new_book("Referrals, harbour")


def counted(number: int) -> Rows:
    return [["Name", "Total"], *([f"row {index}", index] for index in range(1, number + 1))]


def text_of(answer: httpx2.Response) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", answer.text.partition("<body>")[2]))


# Over the socket


def test_the_list_leads_to_every_spreadsheet(new_book: Callable[[str], Book]):
    books = [new_book("Referrals, harbour"), new_book(f"Referrals {MARKUP}")]
    books[0].add("Officer_Summary", counted(1))
    answer = httpx2.get(f"{books[0].web}/")
    assert answer.status_code == 200
    assert re.search(r"Referrals, harbour\s+2 worksheets\s+just now · \d+ \w{3} \d{4}, \d\d:\d\d UTC", text_of(answer))
    assert f"Referrals {MARKUP}" in text_of(answer)
    for one in books:
        assert f'href="./{one.id}"' in answer.text


def test_the_sandbox_s_first_page_leads_to_the_list(sandbox: SandboxProcess):
    assert f'href="{PATH}/"' in httpx2.get(sandbox.url).text


def test_a_worksheet_tells_its_rows_and_its_last_change(book: Book):
    book.add("Officer_Summary", counted(3))
    answer = book.get(sheet="Officer_Summary")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert re.search(r" 3 rows\s+Last change\s+just now · \d+ \w{3} \d{4}, \d\d:\d\d UTC", text_of(answer))
    assert "row 3" in answer.text
    assert "Page" not in text_of(answer)


def test_an_empty_worksheet_and_one_with_nothing_but_a_header_say_so(book: Book):
    assert "This worksheet is empty." in book.get().text
    book.add("Officer_Summary", [["OfficerID", "OfficerName"]])
    only_header = text_of(book.get(sheet="Officer_Summary"))
    assert "OfficerName" in only_header
    assert "No rows yet." in only_header


def test_whatever_is_in_a_cell_is_text(book: Book):
    book.add(MARKUP, [[MARKUP, LONG], *([text, LONG] for text in NASTY)])
    answer = book.get(sheet=MARKUP)
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "<b>not" not in answer.text
    assert all(text in unescape(answer.text) for text in NASTY)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_long_worksheets_come_in_pages_and_the_newest_is_one_step_away(book: Book):
    book.add("Tracker_Raw_Data", counted(250))
    first = book.get(sheet="Tracker_Raw_Data")
    assert "Rows 1\N{EN DASH}100 of 250" in text_of(first)
    assert first.text.count("<td>row ") == 100
    (newest,) = re.findall(r'href="([^"]+)">Last<', first.text)
    last = httpx2.get(book.url + unescape(newest))
    assert "Rows 201\N{EN DASH}250 of 250" in text_of(last)
    assert "<td>row 250</td>" in last.text
    assert "<td>row 200</td>" not in last.text


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("99", "201"),
        ("0", "1"),
        ("-1", "1"),
        ("two", "1"),
        ("", "1"),
        ("²", "1"),
        ("999999999", "201"),
        ("9" * 5000, "1"),
    ],
)
def test_a_page_that_is_none_leads_to_the_nearest(book: Book, asked: str, shown: str):
    book.add("Tracker_Raw_Data", counted(250))
    answer = book.get(sheet="Tracker_Raw_Data", page=asked)
    assert answer.status_code == 200
    assert f"Rows {shown}\N{EN DASH}" in text_of(answer)


def test_hidden_worksheets_are_behind_a_toggle(book: Book):
    book.add("Officer_Summary", counted(1))
    book.add("_staging", counted(2), hidden=True)
    assert '<details class="hidden"><summary>1 hidden</summary>' in book.get(sheet="Officer_Summary").text
    hidden = book.get(sheet="_staging")
    assert '<details class="hidden" open>' in hidden.text
    assert " 2 rows" in text_of(hidden)


def test_what_is_not_there_says_so(book: Book):
    worksheet = book.get(sheet=MARKUP)
    assert worksheet.status_code == 404
    assert f"The spreadsheet Referrals, harbour has no worksheet {MARKUP}." in text_of(worksheet)
    for address in (f"{book.web}/<b>none", f"{book.web}/<b>none.xlsx"):
        answer = httpx2.get(address)
        assert answer.status_code == 404
        assert "There is no spreadsheet <b>none here." in text_of(answer)


def test_google_s_address_for_people_leads_to_the_page(book: Book):
    answer = httpx2.get(f"{book.web}/d/{book.id}/edit", follow_redirects=True)
    assert answer.status_code == 200
    assert str(answer.url) == book.url
    assert "Referrals, harbour" in answer.text


def test_excel_gets_numbers_as_numbers_and_texts_as_texts(book: Book):
    texts = ["=1+1", "+49 30 1", "-", "@x", "007", MARKUP, " spaces ", "a\nb"]
    book.add("Sheet2", [["Text", "Number", "Yes"], *([text, 0.5, True] for text in texts)])
    excel = book.excel()
    cells = excel.cells(2)
    assert [cells[f"A{row}"] for row in range(2, len(texts) + 2)] == [("inlineStr", text) for text in texts]
    assert cells["B2"] == ("n", "0.5")
    assert cells["C2"] == ("b", "1")
    assert not list(excel.part("worksheets/sheet2.xml").iter("f"))
    # Or it becomes a formula as soon as a person edits the cell.
    assert excel.style(2, "A2").attrib.get("quotePrefix") == "1"
    assert excel.style(2, "A6").attrib.get("quotePrefix") is None


def test_excel_gets_a_bold_header_that_stays_in_view(book: Book):
    book.add("Sheet2", counted(2))
    excel = book.excel()
    bold = [font.find("b") is not None for font in excel.part("styles.xml").findall("fonts/font")]
    assert bold[int(excel.style(2, "A1").attrib["fontId"])]
    assert not bold[int(excel.style(2, "A2").attrib["fontId"])]
    (pane,) = excel.part("worksheets/sheet2.xml").iter("pane")
    assert pane.attrib["ySplit"] == "1"
    assert pane.attrib["state"] == "frozen"


def test_excel_gets_the_visible_worksheets_under_names_that_it_takes(book: Book):
    long_title = "Tracker_Raw_Data of the year 2026, part "
    for title in (f"{long_title}1", f"{long_title}2", "a/b:c"):
        book.add(title, counted(1))
    book.add("_staging", counted(1), hidden=True)
    titles = book.excel().titles()
    assert titles == ["Sheet1", long_title[:31], f"{long_title[:27]} (2)", "a_b_c"]


def test_a_text_that_no_cell_of_excel_holds_is_cut_visibly(book: Book):
    book.add("Sheet2", [["Text"], ["x" * 50_000], ["😀" * 20_000]])
    cells = book.excel().cells(2)
    assert cells["A2"] == ("inlineStr", "x" * 32_766 + "…")
    assert cells["A3"] == ("inlineStr", "😀" * 16_383 + "…")


def test_the_download_is_named_after_the_spreadsheet(new_book: Callable[[str], Book]):
    answer = new_book('Année "1"; /etc\r\nX: y').excel().answer
    named = "filename*=UTF-8''Ann%C3%A9e%20%221%22%3B%20%2Fetc%0D%0AX%3A%20y.xlsx"
    assert answer.headers["content-disposition"].endswith(named)
    assert answer.headers["content-type"].endswith("spreadsheetml.sheet")


# In a browser

PAGES = {
    "list": "./",
    "raw-data": "{id}?sheet=Tracker_Raw_Data&page=2",
    "officers": "{id}?sheet=Officer_Summary",
    "hidden": "{id}?sheet=_staging",
    "empty": "{id}?sheet=Sheet1",
    "unknown": "{id}?sheet=" + "x" * 60,
    "sandbox": "../",
}


@pytest.fixture
def full_book(book: Book) -> Book:
    header = ["Timestamp", "EventType", "ReferralLinkID", "CampaignName", "UserAgent"]
    link = "0f8fad5b-d9cd-469f-a165-70867728950e"
    events = [[f"2026-03-01T08:{i // 60:02}:{i % 60:02}+00:00", "click", link, NASTY[i % 6], LONG] for i in range(250)]
    book.add("Tracker_Raw_Data", [header, *events])
    officers = [
        ["Ada Lovelace", 7983, 817, 10.23],
        ["=HYPERLINK(1)", 13_531, 427, 3.16],
        ["Émilie du Châtelet", 5, 0, 0],
    ]
    book.add("Officer_Summary", [["OfficerName", "TotalClicks", "TotalSignups", "ClickToSignupRate"], *officers])
    book.add("Campaign_Summary", counted(4))
    book.add("Time_Series_Data", counted(91))
    book.add("_staging", counted(2), hidden=True)
    return book


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_nothing_but_the_table_scrolls_sideways(browser: Browser, full_book: Book, name: str):
    browser.show(*PHONE)
    browser.open(f"{full_book.web}/{PAGES[name].format(id=full_book.id)}")
    assert browser.ask("document.documentElement.scrollWidth") <= PHONE[0]
    assert browser.ask("visualViewport.scale") == 1
    assert browser.ask(TOO_SMALL) == []
    browser.photograph(f"sheets-{name}-phone")
    if name == "raw-data":
        box = "document.querySelector('.box')"
        assert browser.ask(
            f"{box}.scrollWidth > {box}.clientWidth && {box}.getBoundingClientRect().right <= innerWidth"
        )
        browser.ask(f"{box}.scrollLeft = 10000")
        assert browser.ask("document.documentElement.scrollLeft") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_everything_can_be_read_by_day_and_by_night(browser: Browser, full_book: Book, name: str, dark: bool):
    browser.show(*DESKTOP, dark=dark)
    browser.open(f"{full_book.web}/{PAGES[name].format(id=full_book.id)}")
    red, green, blue = browser.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(red, green, blue) < 64) if dark else (min(red, green, blue) > 192)
    assert browser.ask(TOO_FAINT) == []
    assert browser.ask("document.documentElement.scrollWidth") <= DESKTOP[0]
    browser.photograph(f"sheets-{name}-{'dark' if dark else 'desktop'}")


def test_the_header_and_the_row_numbers_stay_in_view(browser: Browser, full_book: Book):
    browser.open(f"{full_book.url}?sheet=Tracker_Raw_Data")
    browser.ask("box = document.querySelector('.box'); box.scrollTo(200, 1000)")
    assert browser.ask("[box.scrollLeft, box.scrollTop]") == [200, 1000]
    top, left = browser.ask(
        "(edge => [edge.top + box.clientTop, edge.left + box.clientLeft])(box.getBoundingClientRect())"
    )
    assert browser.ask("document.querySelector('thead th').getBoundingClientRect().top") == pytest.approx(top)
    assert browser.ask("document.querySelector('tbody th').getBoundingClientRect().left") == pytest.approx(left)
    assert browser.ask("document.documentElement.scrollHeight") <= DESKTOP[1]


def test_numbers_stand_under_each_other(browser: Browser, full_book: Book):
    browser.open(f"{full_book.url}?sheet=Officer_Summary")
    look = "(one => [one.textContent, getComputedStyle(one).textAlign, getComputedStyle(one).fontVariantNumeric])"
    cells = browser.ask(f"[...document.querySelectorAll('tbody tr:first-child td')].map({look})")
    assert cells == [
        ["Ada Lovelace", "left", "normal"],
        ["7983", "right", "tabular-nums"],
        ["817", "right", "tabular-nums"],
        ["10.23", "right", "tabular-nums"],
    ]
    headings = browser.ask(f"[...document.querySelectorAll('thead th')].map({look})")
    assert [heading[1] for heading in headings] == ["left", "right", "right", "right"]


def test_the_browser_takes_cells_for_text_and_fetches_nothing_else(browser: Browser, full_book: Book):
    browser.open(f"{full_book.url}?sheet=Tracker_Raw_Data")
    names = browser.ask("[...document.querySelectorAll('tbody tr td:nth-child(5)')].map(one => one.textContent)")
    assert names[:6] == NASTY
    assert browser.ask("document.title") == "Tracker_Raw_Data · Referrals, harbour"
    assert browser.ask("document.scripts.length + document.images.length") == 0
    assert browser.ask("performance.getEntriesByType('resource').length") == 0


def test_a_long_text_is_shown_whole_on_demand(browser: Browser, full_book: Book):
    browser.open(f"{full_book.url}?sheet=Tracker_Raw_Data")
    assert browser.ask("document.querySelector('.box').innerText").count("not bold") < 3 * 100
    browser.ask("document.querySelector('td summary').click()")
    assert LONG.strip() in browser.ask("document.querySelector('td details').innerText")


def test_hidden_worksheets_appear_when_asked_for(browser: Browser, full_book: Book):
    browser.open(f"{full_book.url}?sheet=Officer_Summary")
    seen = "document.querySelector('.hidden a').checkVisibility()"
    assert not browser.ask(seen)
    browser.ask("document.querySelector('.hidden summary').click()")
    assert browser.ask(seen)


@pytest.mark.parametrize(("where", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_browser_is_a_failure_only_where_everything_has_to_be_tested(
    monkeypatch: pytest.MonkeyPatch, where: str, outcome: type[BaseException]
):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", where)
    with pytest.raises(outcome, match="apt-get install chromium"):
        find_chromium()
