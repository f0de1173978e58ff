"""Runs exports of a tenant to a spreadsheet of the stand-in, and reads the result without the platform."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
import psycopg

from cdp_platform.ops import tenants
from cdp_platform.referrals.export import ExportResult, export
from cdp_platform.referrals.plan import ExportLimits
from cdp_platform.referrals.worksheets import COLUMNS
from cdp_platform.resources.sheets import SheetInfo, Spreadsheet
from cdp_platform_tests.referrals.tracker import Tracker
from cdp_platform_tests.sheets_stub import SheetsStub

ALL = tuple(COLUMNS)
BRISK = ExportLimits(pause_seconds=0.01, wait_seconds=5)
# The calls of an export that finds nothing to write.
READ_ONLY = ["GET ", "GET /values:batchGet"]


@dataclass
class Exporter:
    """One tenant's export to a spreadsheet of the stand-in."""

    tracker: Tracker
    stub: SheetsStub
    limits: ExportLimits = BRISK
    spreadsheet_id: str = ""
    opened: ExitStack = field(default_factory=ExitStack)
    _spreadsheet: Spreadsheet | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.opened.close()

    @property
    def connection(self) -> psycopg.Connection:
        return self.tracker.connection

    @property
    def spreadsheet(self) -> Spreadsheet:
        """The target of the exports, opened once."""
        wanted = self.spreadsheet_id or self.stub.spreadsheet_id
        if self._spreadsheet is None or self._spreadsheet.spreadsheet_id != wanted:
            self._spreadsheet = self.opened.enter_context(self.stub.open(wanted))
        return self._spreadsheet

    def run(self, names: Collection[str] = ALL, **options: Any) -> ExportResult:
        # Read again: a test may have changed its settings.
        tenant = tenants.get(self.connection, self.tracker.tenant.tenant_id)
        given: dict[str, Any] = {"limits": self.limits, **options}
        return export(self.connection, tenant, self.spreadsheet, names, **given)

    def tabs(self) -> dict[str, SheetInfo]:
        return {sheet.title: sheet for sheet in self.spreadsheet.sheets()}

    def frozen_rows(self, title: str) -> int:
        with self.stub.open(self.spreadsheet.spreadsheet_id) as spreadsheet:
            found = spreadsheet._client.spreadsheets_get(spreadsheet.spreadsheet_id, {"fields": "sheets.properties"})
        properties = {sheet["properties"]["title"]: sheet["properties"] for sheet in found["sheets"]}
        return properties[title]["gridProperties"].get("frozenRowCount", 0)

    def rows(self, title: str) -> list[list[Any]]:
        """All rows of a tab, with its header."""
        return self.spreadsheet.values([f"'{title}'"])[0]

    def contents(self) -> dict[str, list[list[Any]]]:
        """All tabs that people see."""
        titles = [title for title, sheet in self.tabs().items() if not sheet.hidden]
        return dict(zip(titles, self.spreadsheet.values([f"'{title}'" for title in titles]), strict=True))

    def type(self, at: str, *rows: list[Any]) -> None:
        """Type values into cells, as a person does."""
        self.spreadsheet.write([(at, rows)])

    def change(self, *requests: dict[str, Any]) -> None:
        """Change the spreadsheet, as a person does."""
        self.spreadsheet.change(requests)

    def ledger(self) -> list[str]:
        """The state of each export, in order."""
        return [row[0] for row in self.tracker.rows("SELECT state FROM referrals.sheet_export ORDER BY started_at")]

    def arrived(self) -> list[str]:
        """Every call of the spreadsheet since the last call of this method."""
        found = self.stub.arrived()
        httpx2.delete(f"{self.stub.sandbox.url}/_sandbox/requests").raise_for_status()
        return found
