"""Pages for people: which spreadsheets there are, and what is in each, as tables in a browser.

`/` lists them, `/{id}` shows one (`?sheet=TITLE&page=NUMBER`), `/{id}.xlsx` is the same as an Excel file, and
`/d/{id}/edit`, where Google has a spreadsheet for people, leads to its page. Everything works without scripts, and
whatever is in a cell is text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from cdp_sandbox.sheets.cells import shown
from cdp_sandbox.sheets.store import Row, Sheet, Spreadsheet, Store, Value
from cdp_sandbox.sheets.xlsx import MEDIA_TYPE, TooLargeError, header_row_count, workbook
from cdp_sandbox.style import count_of, page, time_of

ROWS_OF_A_PAGE = 100

_NUMBER = re.compile(r"[0-9]{1,9}")
# Characters of a text that are shown before a person asks for the rest.
_SHORT = 72

_LIST_STYLE = """
.files { list-style: none; margin: 1.25rem 0 0; padding: 0; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); overflow: hidden; }
.files li + li { border-top: 1px solid var(--line); }
.files a { display: flex; flex-wrap: wrap; align-items: baseline; gap: .125rem 1.25rem; min-height: 44px;
  padding: .75rem 1rem; color: inherit; text-decoration: none; font-size: .875rem; }
.files a:hover { background: var(--tint); }
.files a:focus-visible { outline-offset: -2px; }
.files strong { flex: 1 1 18rem; font-size: 1rem; font-weight: 600; color: var(--accent); }
@media (max-width: 40rem) { .files a > * { flex-basis: 100%; } }
"""

_SHEET_STYLE = """
body { display: flex; flex-direction: column; height: 100vh; height: 100dvh; min-height: 36rem; }
header { display: flex; align-items: end; gap: 1rem; padding: .25rem 1.5rem .75rem; }
header div { flex: 1; min-width: 0; }
header .button { flex: none; }
.tabs { display: flex; flex-wrap: wrap; align-items: end; column-gap: .25rem; padding: 0 1.25rem;
  border-bottom: 1px solid var(--line); font-size: .9375rem; }
.tabs a { display: flex; align-items: center; min-width: 44px; min-height: 44px; padding: 3px .75rem 0;
  color: var(--muted); text-decoration: none; border-bottom: 3px solid transparent; margin-bottom: -1px; }
.tabs a:hover { color: var(--ink); border-color: var(--line); }
.tabs a[aria-current] { color: var(--accent); font-weight: 600; border-color: var(--accent); }
.tabs :focus-visible { outline-offset: -4px; }
.hidden[open], .hidden div { display: flex; flex-wrap: wrap; }
.hidden summary { display: flex; align-items: center; gap: .5rem; min-height: 44px; padding: 0 .75rem; cursor: pointer;
  margin-bottom: -1px; color: var(--faint); list-style: none; white-space: nowrap; }
.hidden summary::-webkit-details-marker { display: none; }
.hidden summary::after { content: ""; width: .4rem; height: .4rem; border: solid; border-width: 0 1.5px 1.5px 0;
  transform: rotate(-45deg); }
.hidden[open] summary::after { transform: rotate(135deg); }
.hidden summary:hover { color: var(--ink); }
.hidden a { color: var(--faint); font-style: italic; }
main { flex: 1; min-height: 0; max-width: none; width: 100%; margin: 0; padding: .75rem 1.5rem 1rem; display: flex;
  flex-direction: column; gap: .75rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0 1.25rem; margin: 0; font-size: .875rem; }
.facts b { color: var(--ink); font-weight: 600; }
.box { flex: 0 1 auto; min-height: 0; max-width: 100%; width: fit-content; overflow: auto; background: var(--surface);
  border: 1px solid var(--line); border-radius: 10px; overscroll-behavior: contain; }
.box:focus-visible { outline-offset: 0; }
.box th, .box td { white-space: nowrap; }
.box thead { position: sticky; top: 0; z-index: 2; }
.box thead tr > * { background: var(--raised); }
.box tbody tr:last-child > * { border-bottom: 0; }
.box tr > :first-child { position: sticky; left: 0; z-index: 1; min-width: 3rem; padding-inline: .625rem;
  color: var(--faint); font-weight: 400; text-align: right; font-size: .75rem; line-height: 1.3125rem;
  font-variant-numeric: tabular-nums; border-right: 1px solid var(--line); }
.box tbody tr > :first-child { background: var(--surface); }
.box tbody tr:hover > * { background: var(--tint); }
.box details[open] { white-space: pre-wrap; width: min(30rem, 75vw); }
.box summary { cursor: pointer; list-style: none; white-space: nowrap; text-underline-offset: .25em;
  text-decoration: underline dotted var(--faint); }
.box summary::-webkit-details-marker { display: none; }
.box summary:hover { text-decoration-style: solid; }
.box details[open] summary { font-size: 0; }
.box details[open] summary::after { content: "Show less"; color: var(--accent); font-size: .8125rem; }
.empty { padding: 2.5rem 1.5rem; margin: 0; color: var(--muted); }
.pager { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: .5rem 1.5rem;
  font-size: .875rem; font-variant-numeric: tabular-nums; }
.pager p { margin: 0; }
.pager form { display: flex; align-items: center; gap: .5rem; margin-left: auto; color: var(--muted); }
.pager input { width: 5rem; min-height: 44px; padding: 0 .5rem; font: inherit; text-align: right; color: var(--ink);
  background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
.pager div { display: flex; gap: .375rem; }
.pager .button { justify-content: center; padding: 0 .875rem; }
.pager span.button { color: var(--faint); background: none; border-color: transparent; }
@media (max-width: 40rem) {
  header { padding: 0 1rem .625rem; }
  header h1 { font-size: 1.25rem; }
  header .button span { display: none; }
  header .button::before { content: "\\2193\\a0"; }
  .tabs { padding: 0 .5rem .375rem; column-gap: 0; font-size: .875rem; }
  .tabs a { padding: 0 .5rem; margin: 0; border: 0; border-radius: 8px; }
  .tabs a[aria-current] { background: var(--tint); }
  .hidden summary { padding: 0 .5rem; margin: 0; }
  main { padding: .625rem 1rem .75rem; gap: .625rem; }
  .pager div { width: 100%; }
  .pager div .button { flex: 1; padding: 0; }
}
@media (pointer: coarse) {
  .box th, .box td { padding-block: .6875rem; }
  .box summary { padding-block: .75rem; margin-block: -.75rem; }
  .box details[open] summary { min-height: 44px; margin-bottom: 0; }
}
"""


class NotThereError(Exception):
    """What an address names is not there."""


def routes(store: Store) -> list[Route]:
    """Return where the pages are, below the place of the stand-in. What the API answers has to stand before them."""

    def overview(request: Request) -> Response:
        return _overview(store.spreadsheets(), _now())

    def one(request: Request) -> Response:
        try:
            spreadsheet = _found(store, request)
            sheet = _sheet(spreadsheet, request.query_params.get("sheet"))
        except NotThereError as error:
            return _refusal(str(error), 404)
        return _spreadsheet(spreadsheet, sheet, request.query_params.get("page", ""), _now())

    def download(request: Request) -> Response:
        try:
            spreadsheet = _found(store, request)
            content = workbook(spreadsheet)
        except NotThereError as error:
            return _refusal(str(error), 404)
        except TooLargeError as error:
            return _refusal(str(error), 422)
        name = quote(f"{spreadsheet.title}.xlsx", safe="")
        disposition = f"attachment; filename=\"{quote(spreadsheet.id)}.xlsx\"; filename*=UTF-8''{name}"
        return StreamingResponse(content, headers={"content-disposition": disposition}, media_type=MEDIA_TYPE)

    def at_google(request: Request) -> Response:
        return RedirectResponse(f"../../{_address(request.path_params['spreadsheet'])}")

    return [
        Route("/", overview),
        Route("/d/{spreadsheet}/edit", at_google),
        Route("/{spreadsheet}.xlsx", download),
        Route("/{spreadsheet}", one),
    ]


def _found(store: Store, request: Request) -> Spreadsheet:
    name = request.path_params["spreadsheet"]
    if (spreadsheet := store.find(name)) is None:
        raise NotThereError(f"There is no spreadsheet {name} here.")
    return spreadsheet


def _sheet(spreadsheet: Spreadsheet, title: str | None) -> Sheet:
    if title is None:
        visible = [sheet for sheet in spreadsheet.sheets if not sheet.hidden]
        # A new spreadsheet begins with an empty worksheet that nobody asked for.
        return next((sheet for sheet in visible if sheet.rows), visible[0])
    if (sheet := spreadsheet.by_title(title)) is None:
        raise NotThereError(f"The spreadsheet {spreadsheet.title} has no worksheet {title}.")
    return sheet


def _refusal(message: str, status: int) -> Response:
    body = f'<main>{_crumbs()}<h1>{escape(message)}</h1><p><a class="button" href="./">All spreadsheets</a></p></main>'
    return page(message, body, status=status)


def _overview(spreadsheets: Sequence[Spreadsheet], now: datetime) -> Response:
    latest_first = sorted(spreadsheets, key=lambda one: one.last_change, reverse=True)
    items = "".join(
        f'<li><a href="{_address(one.id)}"><strong>{escape(one.title)}</strong>'
        f'<span class="muted">{count_of(len(one.sheets), "worksheet")}</span>'
        f'<span class="muted">{time_of(one.last_change, now)}</span></a></li>'
        for one in latest_first
    )
    files = f'<ul class="files">{items}</ul>' if items else '<p class="muted">There is none yet.</p>'
    intro = '<p class="muted">What the stand-in for Google Sheets holds.</p>'
    body = f'<main><nav class="crumbs"><a href="/">cdp sandbox</a></nav><h1>Spreadsheets</h1>{intro}{files}</main>'
    return page("Spreadsheets", body, style=_LIST_STYLE)


def _spreadsheet(spreadsheet: Spreadsheet, sheet: Sheet, asked_page: str, now: datetime) -> Response:
    head = header_row_count(sheet)
    count = len(sheet.row_data) - head
    last = max(1, -(-count // ROWS_OF_A_PAGE))
    # Rows come and go while a person reads, so a page that is no more is taken for the last one.
    number = min(max(1, int(asked_page)), last) if _NUMBER.fullmatch(asked_page) else 1
    first_row = (number - 1) * ROWS_OF_A_PAGE
    start = head + first_row
    table = _table(sheet.title, sheet.row_data[:head], sheet.row_data[start : start + ROWS_OF_A_PAGE], first_row)
    facts = f"<b>{count_of(count, 'row')}</b><span>Last change {time_of(sheet.last_change, now)}</span>"
    body = (
        f"<header><div>{_crumbs()}<h1>{escape(spreadsheet.title)}</h1></div>"
        f'<a class="button" href="{_address(spreadsheet.id)}.xlsx" download aria-label="Download .xlsx">'
        "<span>Download&nbsp;</span>.xlsx</a></header>"
        f"{_tabs(spreadsheet, sheet)}"
        f'<main><p class="facts muted">{facts}</p>{table}{_pager(sheet.title, number, last, count)}</main>'
    )
    return page(f"{sheet.title} · {spreadsheet.title}", body, style=_SHEET_STYLE)


def _crumbs() -> str:
    return '<nav class="crumbs"><a href="/">cdp sandbox</a><a href="./">Spreadsheets</a></nav>'


def _tabs(spreadsheet: Spreadsheet, current: Sheet) -> str:
    def tab(sheet: Sheet) -> str:
        here = ' aria-current="page"' if sheet is current else ""
        return f'<a href="{_query(sheet=sheet.title)}"{here}>{escape(sheet.title)}</a>'

    tabs = "".join(tab(sheet) for sheet in spreadsheet.sheets if not sheet.hidden)
    hidden = [tab(sheet) for sheet in spreadsheet.sheets if sheet.hidden]
    if hidden:
        is_open = " open" if current.hidden else ""
        tabs += f'<details class="hidden"{is_open}><summary>{len(hidden)} hidden</summary>'
        tabs += f"<div>{''.join(hidden)}</div></details>"
    return f'<nav class="tabs" aria-label="Worksheets">{tabs}</nav>'


def _table(title: str, head: Sequence[Row], rows: Sequence[Row], first_row: int) -> str:
    if not head:
        return '<div class="box"><p class="empty">This worksheet is empty.</p></div>'
    columns = range(max(len(row.values) for row in [*head, *rows]))
    numeric = [_is_numeric([row.value(column) for row in rows]) for column in columns]
    top = "".join(
        f"<tr><td></td>{''.join(_heading(row, column, numeric[column]) for column in columns)}</tr>" for row in head
    )
    body = "".join(
        f"<tr><th scope=row>{number}</th>{''.join(_cell(row, column) for column in columns)}</tr>"
        for number, row in enumerate(rows, first_row + 1)
    )
    nothing = "" if rows else '<p class="empty">No rows yet.</p>'
    return (
        f'<div class="box" role="region" tabindex="0" aria-label="{escape(title)}">'
        f"<table><thead>{top}</thead><tbody>{body}</tbody></table>{nothing}</div>"
    )


def _pager(title: str, number: int, last: int, count: int) -> str:
    if last == 1:
        return ""

    def button(name: str, target: int) -> str:
        if target == number or not 1 <= target <= last:
            return f'<span class="button">{name}</span>'
        return f'<a class="button" href="{_query(sheet=title, page=target)}">{name}</a>'

    first_row = (number - 1) * ROWS_OF_A_PAGE + 1
    last_row = min(number * ROWS_OF_A_PAGE, count)
    buttons = button("First", 1) + button("Previous", number - 1) + button("Next", number + 1) + button("Last", last)
    return (
        f'<nav class="pager" aria-label="Pages"><p>Rows {first_row:,}&ndash;{last_row:,} of {count:,}</p>'
        f'<form><input type="hidden" name="sheet" value="{escape(title)}"><label for="page">Page</label>'
        f'<input id="page" type="number" name="page" min="1" max="{last}" value="{number}" required>'
        f"<span>of {last:,}</span></form><div>{buttons}</div></nav>"
    )


def _heading(row: Row, column: int, is_numeric: bool) -> str:
    return f"<th scope=col{' class=n' if is_numeric else ''}>{_content(row, column)}</th>"


def _cell(row: Row, column: int) -> str:
    return f"<td{' class=n' if _is_number(row.value(column)) else ''}>{_content(row, column)}</td>"


def _content(row: Row, column: int) -> str:
    text = shown(row.value(column), row.decoration(column))
    if len(text) <= _SHORT and "\n" not in text:
        return escape(text)
    start = " ".join(text[:_SHORT].split())
    return f"<details><summary>{escape(start)}…</summary>{escape(text)}</details>"


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(values: Sequence[Value]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(map(_is_number, present))


def _address(spreadsheet_id: str) -> str:
    # With a dot before it, an id with a colon is no scheme.
    return f"./{quote(spreadsheet_id, safe='')}"


def _query(**parameters: str | int) -> str:
    return escape(f"?{urlencode(parameters)}")


def _now() -> datetime:
    return datetime.now(UTC)
