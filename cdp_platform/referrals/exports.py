"""What the ledger says of exports, for whoever looks after them."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.connection import tenant_transaction


@dataclass(frozen=True)
class LastExport:
    """The latest row of ``referrals.sheet_export``.

    Attributes:
        snapshot_at: the moment of the database that it shows.
        rows: of its worksheets together, without headers.
        outcome: see `ledger`.
        reason: why it ended so, if not well.
    """

    link: str
    snapshot_at: datetime
    rows: int
    outcome: str
    reason: str | None

    @property
    def arrived(self) -> bool:
        """Whether the spreadsheet shows it."""
        return self.outcome in {"confirmed", "unchanged"}


def last_export(connection: psycopg.Connection, tenant_id: str) -> LastExport | None:
    """A tenant's latest export to any spreadsheet, None before the first."""
    with tenant_transaction(connection, tenant_id), connection.cursor(row_factory=class_row(LastExport)) as cursor:
        return cursor.execute(
            "SELECT link, snapshot_at, rows, outcome, reason FROM referrals.sheet_export WHERE tenant_id = %s"
            " ORDER BY started_at DESC LIMIT 1",
            [tenant_id],
        ).fetchone()
