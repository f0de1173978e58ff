"""The content of the four worksheets: columns, rows and checksums.

An export reads all of them in one transaction that sees one snapshot, so that the worksheets agree. Figures are sums of
``referrals.daily_metrics``, without flagged events. A rate is ``referrals.click_to_signup_rate`` of sums: signups /
clicks x 100, rounded to 2 places, 0 without clicks.

- ``Tracker_Raw_Data``: one row per click and signup, flagged ones included, each appended once.
- ``Officer_Summary``: one row per officer.
- ``Campaign_Summary``: one row per campaign; AverageSignupsPerDay = signups / local days from its start to its end or
  today, whichever is earlier, both days counted.
- ``Time_Series_Data``: one row per local day, from 90 days ago to today.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, TypeAlias

import orjson
import psycopg
from psycopg import sql

from cdp_platform.ops.tenants import Tenant
from cdp_platform.referrals.masking import Mask
from cdp_platform.warehouse.statements import statement

Cell: TypeAlias = str | int | float
Row: TypeAlias = list[Cell]

RAW_DATA = "Tracker_Raw_Data"
OFFICER_SUMMARY = "Officer_Summary"
CAMPAIGN_SUMMARY = "Campaign_Summary"
TIME_SERIES = "Time_Series_Data"

COLUMNS: dict[str, Row] = {
    RAW_DATA: [
        *("Timestamp", "EventType", "ReferralLinkID", "OfficerID", "CampaignID", "CampaignName"),
        *("UserEmailHash", "IP", "UserAgent"),
    ],
    OFFICER_SUMMARY: ["OfficerID", "OfficerName", "TotalClicks", "TotalSignups", "ClickToSignupRate"],
    CAMPAIGN_SUMMARY: [
        *("CampaignID", "CampaignName", "StartDate", "EndDate", "TotalClicks", "TotalSignups"),
        *("ClickToSignupRate", "AverageSignupsPerDay"),
    ],
    TIME_SERIES: ["Date", "TotalClicks", "TotalSignups", "ClickToSignupRate"],
}
SUMMARIES = (OFFICER_SUMMARY, CAMPAIGN_SUMMARY, TIME_SERIES)

MAX_CELL = 50_000
"""Google's limit for the characters of a cell, applied to UTF-16 units, of which a text has at least as many."""

_QUERIES = {
    OFFICER_SUMMARY: "officer_summary",
    CAMPAIGN_SUMMARY: "campaign_summary",
    TIME_SERIES: "time_series",
}
# Cells get no control characters but tab and newline, and one kind of line end.
_LINE_END = re.compile(r"\r\n?")
_EXACT = 2**53
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Cells:
    """Converts values to what a cell can hold.

    Attributes:
        cut: the number of texts that were cut because they were too long.
    """

    def __init__(self) -> None:
        self.cut = 0

    def row(self, values: Iterable[Any]) -> Row:
        """Numbers stay numbers, texts stay texts, None becomes an empty text."""
        return [self._cell(value) for value in values]

    def _cell(self, value: Any) -> Cell:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Decimal):
            return float(value)
        return "" if value is None else value

    def _text(self, text: str) -> str:
        if not text.isprintable():
            text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _LINE_END.sub("\n", text))
        # A character has at most two units.
        if len(text) * 2 > MAX_CELL:
            units = text.encode("utf-16-le")
            if len(units) > MAX_CELL * 2:
                self.cut += 1
                # A character that would be cut in half is left out.
                text = units[: (MAX_CELL - 1) * 2].decode("utf-16-le", "ignore") + "…"
        return text


def summary(
    connection: psycopg.Connection, tenant: Tenant, worksheet: str, *, moment: datetime, cells: Cells
) -> list[Row]:
    """All rows of a summary, inside a transaction of the tenant. ``moment`` determines which day is today."""
    names = {"tenant": tenant.tenant_id, "zone": tenant.time_zone, "moment": moment}
    rows = connection.execute(statement("referrals", _QUERIES[worksheet]), names)
    return [cells.row(row) for row in rows]


def raw_data(
    connection: psycopg.Connection,
    tenant_id: str,
    spreadsheet_id: str,
    positions: range | Sequence[int],
    *,
    mask: Mask,
    cells: Cells,
) -> dict[int, Row]:
    """The rows of events by their positions in the spreadsheet, inside a transaction of the tenant.

    The row of an event that the tracker deleted has empty texts only.
    """
    if isinstance(positions, range):
        which = sql.SQL("x.position >= %(first)s AND x.position < %(end)s")
        wanted: dict[str, Any] = {"first": positions.start, "end": positions.stop}
    else:
        which = sql.SQL("x.position = ANY(%(positions)s)")
        wanted = {"positions": list(positions)}
    nothing: Row = [""] * len(COLUMNS[RAW_DATA])
    rows: dict[int, Row] = {}
    for position, event_type, moment, *link, email, ip, user_agent in connection.execute(
        statement("referrals", "raw_data").format(which=which),
        {"tenant": tenant_id, "spreadsheet": spreadsheet_id, **wanted},
    ):
        rows[position] = (
            cells.row([moment.isoformat(), event_type, *link, mask.email(email), mask.ip(ip), user_agent])
            if moment
            else nothing
        )
    return rows


def normal(rows: Sequence[Sequence[Any]], width: int) -> list[Row]:
    """Rows that a spreadsheet returned, in the form in which they were written: padded to ``width``, 3.0 as 3."""
    return [[_same(value) for value in [*row, *[""] * (width - len(row))]] for row in rows]


def checksum(worksheet: str, rows: Iterable[Row]) -> str:
    """SHA-256, as hex digits, of the header and these rows, each as a line of JSON in UTF-8."""
    digest = hashlib.sha256()
    for row in chain([COLUMNS[worksheet]], rows):
        digest.update(orjson.dumps([_same(value) for value in row], option=orjson.OPT_APPEND_NEWLINE))
    return digest.hexdigest()


def _same(value: Any) -> Cell:
    """The same value for equal cells: a spreadsheet may return 3 as 3.0, and nothing for an empty text."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return "" if value is None else value
