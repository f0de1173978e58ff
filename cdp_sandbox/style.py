"""The skeleton and style that all pages of the sandbox share: light and dark, for large and small screens.

Pages load nothing from other servers and need no scripts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote, urlencode

from starlette.responses import HTMLResponse

# The browser runs no script and loads nothing, whatever text a page contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'"

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%231f6f5c'/%3E"
    "%3Cpath d='M4 5.5h8M4 8h8M4 10.5h8' stroke='%23fff' stroke-width='1.2'/%3E%3C/svg%3E"
)

_STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f7f8f9; --surface: #fff; --raised: #eff2f4; --ink: #1b242c; --muted: #586470; --faint: #65707a;
  --line: #dfe4e8; --accent: #17624f; --tint: #e3f0ec; --focus: #2f8f76; --alarm: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12171b; --surface: #191f24; --raised: #222a30; --ink: #e3e8ec; --muted: #a0abb5; --faint: #8b97a2;
    --line: #2d363d; --accent: #7fd1b9; --tint: #1d3a33; --focus: #7fd1b9; --alarm: #ff9a90;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; font-weight: 650; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 1.125rem; line-height: 1.35; font-weight: 650; margin: 0; }
p { margin: .5rem 0; }
a { color: var(--accent); text-underline-offset: .2em; text-decoration-thickness: 1px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 4px; }
code { background: var(--raised); border-radius: 4px; padding: .1em .35em; font: .875em/1.5 ui-monospace, "SF Mono",
  Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.muted { color: var(--muted); }
.button { display: inline-flex; align-items: center; min-height: 44px; padding: 0 1rem; border: 1px solid var(--line);
  border-radius: 8px; background: var(--surface); color: var(--accent); font-size: .875rem; text-decoration: none; }
.button:hover { border-color: var(--focus); }
.crumbs { display: flex; flex-wrap: wrap; column-gap: .5rem; font-size: .875rem; }
.crumbs a { display: inline-flex; align-items: center; min-width: 44px; min-height: 44px; text-decoration: none; }
.crumbs a:hover { text-decoration: underline; }
.crumbs a + a::before { content: "/"; color: var(--faint); margin-right: .5rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem; }
th, td { text-align: left; vertical-align: top; padding: .4375rem .75rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
"""


TABS = """
.tabs { display: flex; flex-wrap: wrap; column-gap: .25rem; margin-top: 1rem; border-bottom: 1px solid var(--line);
  font-size: .9375rem; }
.tabs a { display: flex; align-items: center; min-width: 44px; min-height: 44px; padding: 3px .75rem 0;
  color: var(--muted); text-decoration: none; border-bottom: 3px solid transparent; margin-bottom: -1px; }
.tabs a:hover { color: var(--ink); border-color: var(--line); }
.tabs a[aria-current] { color: var(--accent); font-weight: 600; border-color: var(--accent); }
.tabs :focus-visible { outline-offset: -4px; }
.alarm { color: var(--alarm); font-weight: 600; }
"""
"""The style of `tabs`, and of what is wrong (`.alarm`)."""

LIST = """
.entries { list-style: none; margin: 1rem 0 0; padding: 0; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); overflow: hidden; }
.entries li + li { border-top: 1px solid var(--line); }
.entries a { display: grid; grid-template-columns: 4rem minmax(0, 1fr) minmax(0, 14rem) auto; align-items: baseline;
  gap: .125rem 1rem; min-height: 44px; padding: .625rem 1rem; color: inherit; text-decoration: none;
  font-size: .875rem; }
.entries a:hover { background: var(--tint); }
.entries a:focus-visible { outline-offset: -2px; }
.entries strong { font-size: 1rem; font-weight: 600; color: var(--accent); }
.entries .alarm { display: block; font-size: .8125rem; }
.pager { display: flex; gap: .5rem; align-items: center; justify-content: space-between; margin-top: 1rem;
  font-size: .875rem; }
main { max-width: 64rem; }
@media (max-width: 40rem) {
  .entries a { grid-template-columns: 1fr auto; }
  .entries strong { grid-area: 2 / 1 / 3 / 3; }
  .entries .to { grid-area: 3 / 1 / 4 / 3; }
}
"""
"""The style of a list whose entries are links (`ul.entries`), and of the links between its pages."""


RECORD = """
main { max-width: 64rem; }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .125rem 1rem; margin: .75rem 0 0;
  font-size: .875rem; }
dt { color: var(--muted); }
dd { margin: 0; }
pre { margin: 1rem 0 0; padding: 1rem; border: 1px solid var(--line); border-radius: 10px; background: var(--surface);
  white-space: pre-wrap; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.box { overflow-x: auto; margin-top: 1rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--surface); }
.box table { width: 100%; }
.box tr:last-child > * { border-bottom: 0; }
"""
"""The style of a page about one thing: its `facts`, a table in a box (`.box`), and text as it came (`pre`)."""


def page(title: str, body: str, *, style: str = "", status: int = 200) -> HTMLResponse:
    """Answer a page.

    Args:
        title: What the browser calls it, as text.
        body: The inside of its body, as HTML in which every text is escaped.
        style: CSS that this page alone needs.
        status: The HTTP status.
    """
    document = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="{_ICON}"><style>{_STYLE}{style}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )
    headers = {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return HTMLResponse(document, status, headers)


def facts(known: Sequence[tuple[str, str]]) -> str:
    """The facts about a thing as HTML: name and value of each, both HTML. Empty ones are left out."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in known if value)}</dl>"


def tabs(label: str, shown: Sequence[tuple[str, str, bool]]) -> str:
    """Links to views of the same thing as HTML: address and words of each, and whether it is the one that is seen."""
    links = "".join(
        f'<a href="{href}"{" aria-current=page" if is_current else ""}>{words}</a>' for href, words, is_current in shown
    )
    return f'<nav class="tabs" aria-label="{label}">{links}</nav>'


class Pages:
    """The pages of a list, the first of which has the latest entries.

    Attributes:
        first: Number of entries before this page.
    """

    LENGTH = 50

    def __init__(self, count: int, asked: str) -> None:
        """Choose the page that was asked for, or else the nearest.

        Args:
            count: Number of entries in the list.
            asked: The page's number, as somebody wrote it into the address.
        """
        self._last = max(1, -(-count // self.LENGTH))
        self._number = min(max(1, int(asked)), self._last) if re.fullmatch(r"[0-9]{1,9}", asked) else 1
        self.first = (self._number - 1) * self.LENGTH

    def links(self, **parameters: str) -> str:
        """Links to the pages before and after as HTML; nothing if there is one page."""
        if self._last == 1:
            return ""

        def button(words: str, target: int) -> str:
            if not 1 <= target <= self._last:
                return "<span></span>"
            return f'<a class="button" href="{query(**parameters, page=target)}">{words}</a>'

        links = (
            f"{button('Later', self._number - 1)}<span>Page {self._number:,} of {self._last:,}</span>"
            f"{button('Earlier', self._number + 1)}"
        )
        return f'<nav class="pager" aria-label="Pages">{links}</nav>'


def query(**parameters: str | int) -> str:
    """The part of an address from `?` on, as HTML. What is empty is left out."""
    return escape(f"?{urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)}")


def count_of(number: int, noun: str) -> str:
    """Write a number of things: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def time_of(moment: datetime, now: datetime) -> str:
    """Write a moment in UTC as HTML, with how long ago it was."""
    date = f"{moment.day} {moment:%b %Y, %H:%M} UTC"
    return f'<time datetime="{moment.isoformat(timespec="seconds")}">{_ago(moment, now)} · {date}</time>'


def _ago(moment: datetime, now: datetime) -> str:
    seconds = int((now - moment).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count_of(seconds // length, unit)} ago"
    return "just now"
