"""The record of exports, written before the spreadsheet is changed.

Grain of ``referrals.sheet_export``: one row per export, an effect with the states of `cdp_platform.ops.effects`. It is
``reserved`` until everything is staged, ``handed_over`` while the spreadsheet is being changed, ``confirmed`` when the
spreadsheet was read back and has it, and ``failed`` if the spreadsheet still has its previous contents. The next export
asks the spreadsheet how an ``unknown`` one ended, and one whose process died.

Grain of ``referrals.exported_event``: one row per event and spreadsheet, with the position of its row, 1 for the first.
An export that failed loses its rows, and its events wait again.

All functions work inside a transaction of the tenant.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from cdp_platform.ops.effects import UNRESOLVED, Ledger, State
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class ExportLedger:
    """The exports of one tenant to one spreadsheet."""

    connection: psycopg.Connection
    tenant_id: str
    spreadsheet_id: str

    def unfinished(self) -> list[UUID]:
        """Exports whose end is not known, the oldest first."""
        rows = self.connection.execute(
            "SELECT export_id FROM referrals.sheet_export WHERE tenant_id = %s AND spreadsheet_id = %s"
            " AND state = ANY(%s) ORDER BY started_at",
            [self.tenant_id, self.spreadsheet_id, list(UNRESOLVED)],
        ).fetchall()
        return [export_id for (export_id,) in rows]

    def last_position(self, *, without: Collection[UUID] = ()) -> int:
        """The position of the last event that the spreadsheet has, 0 without any; events of some exports left out."""
        row = self.connection.execute(
            "SELECT coalesce(max(position), 0) FROM referrals.exported_event"
            " WHERE tenant_id = %s AND spreadsheet_id = %s AND export_id <> ALL(%s)",
            [self.tenant_id, self.spreadsheet_id, list(without)],
        ).fetchone()
        assert row is not None  # noqa: S101 (an aggregate: one row always)
        return row[0]

    def stale_positions(self, last: int) -> list[int]:
        """Positions whose rows have to be written again, up to the last that the spreadsheet has."""
        rows = self.connection.execute(
            "SELECT position FROM referrals.exported_event"
            " WHERE tenant_id = %s AND spreadsheet_id = %s AND stale AND position <= %s ORDER BY position",
            [self.tenant_id, self.spreadsheet_id, last],
        ).fetchall()
        return [position for (position,) in rows]

    def begin(self, export_id: UUID, link: str) -> datetime:
        """Record an export, if it is not recorded yet; returns the moment of its snapshot."""
        names = {"tenant": self.tenant_id, "export": export_id, "spreadsheet": self.spreadsheet_id, "link": link}
        row = self.connection.execute(statement("referrals", "begin_export"), names).fetchone()
        assert row is not None  # noqa: S101 (it was inserted)
        return row[0]

    def describe(self, export_id: UUID, worksheets: Mapping[str, Any], rows: int, checksum: str) -> None:
        """Record the worksheets of an export."""
        self.connection.execute(
            "UPDATE referrals.sheet_export SET worksheets = %s, rows = %s, checksum = %s"
            " WHERE tenant_id = %s AND export_id = %s",
            [Jsonb(worksheets), rows, checksum, self.tenant_id, export_id],
        )

    def reserve(self, export_id: UUID, last: int, at_most: int | None) -> int:
        """Give waiting events the positions after the last, the oldest first; returns their number."""
        names = {"tenant": self.tenant_id, "spreadsheet": self.spreadsheet_id, "export": export_id}
        return self.connection.execute(
            statement("referrals", "reserve"), {**names, "last": last, "at_most": at_most}
        ).rowcount

    def release(self, export_id: UUID, *, after: int = 0) -> None:
        """Let the events of an export that are after a position wait again."""
        self.connection.execute(
            "DELETE FROM referrals.exported_event WHERE tenant_id = %s AND export_id = %s AND position > %s",
            [self.tenant_id, export_id, after],
        )

    def end(self, export_id: UUID, state: State, reason: str | None = None) -> None:
        """Record how an export ended. The events of one that failed wait again."""
        if state == "failed":
            self.release(export_id)
        self.connection.execute(
            "UPDATE referrals.sheet_export SET state = %s, reason = %s, ended_at = clock_timestamp()"
            " WHERE tenant_id = %s AND export_id = %s",
            [state, reason, self.tenant_id, export_id],
        )

    def hand_over(self, export_id: UUID) -> None:
        """Record that the spreadsheet may be changed from now on."""
        Ledger(self.connection, self.tenant_id, "referrals.sheet_export", "export_id").hand_over(export_id)

    def refreshed(self, positions: Sequence[int]) -> None:
        """Record that these rows were written again."""
        self.connection.execute(
            "UPDATE referrals.exported_event SET stale = false"
            " WHERE tenant_id = %s AND spreadsheet_id = %s AND position = ANY(%s) AND stale",
            [self.tenant_id, self.spreadsheet_id, list(positions)],
        )


@dataclass(frozen=True)
class LastExport:
    """The latest row of ``referrals.sheet_export``.

    Attributes:
        snapshot_at: the moment of the database that it shows.
        rows: of all its worksheets, without headers.
        state: see above.
        reason: why it failed, or why its end is unknown.
    """

    link: str
    snapshot_at: datetime
    rows: int
    state: State
    reason: str | None

    @property
    def arrived(self) -> bool:
        """Whether the spreadsheet has it."""
        return self.state in {"confirmed", "unchanged"}


def last_export(connection: psycopg.Connection, tenant_id: str) -> LastExport | None:
    """A tenant's latest export to any spreadsheet, None before the first."""
    with connection.cursor(row_factory=class_row(LastExport)) as cursor:
        return cursor.execute(
            "SELECT link, snapshot_at, rows, state, reason FROM referrals.sheet_export WHERE tenant_id = %s"
            " ORDER BY started_at DESC LIMIT 1",
            [tenant_id],
        ).fetchone()
