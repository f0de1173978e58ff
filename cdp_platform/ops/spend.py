"""Spending of rooms at outside accounts, and its limit per day.

Grain of a room's table ``spend``, which ``ops.make_spend`` makes: one row per tenant, account, day (UTC) and unit. The
amount is reserved before a call and corrected after it. Of a worker that dies in between the reservation stays: an
amount is counted too often rather than never. All functions work inside a transaction of the tenant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg
from psycopg import sql

from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Spend:
    """Spending of one tenant at one account on one day.

    Attributes:
        room: whose table it is in.
        tenant_id: who spends.
        account: the outside account, or a name for several that share a limit.
        unit: of all amounts, such as ``USD`` or ``credits``.
        day: in UTC.
    """

    room: str
    tenant_id: str
    account: str
    unit: str
    day: date

    def reserve(
        self, connection: psycopg.Connection, amounts: Sequence[Decimal], *, limit: Decimal | None = None
    ) -> int:
        """Reserve as many of the amounts, from the first on, as fit below the limit together.

        The row is locked until the transaction ends, so that two workers do not both take the last of a limit.

        Returns:
            The number of amounts that are reserved; the others are not.
        """
        spent = self._add(connection, Decimal(0))
        fitting, reserved = 0, Decimal(0)
        for amount in amounts:
            if limit is not None and spent + reserved + amount > limit:
                break
            fitting, reserved = fitting + 1, reserved + amount
        self._add(connection, reserved)
        return fitting

    def correct(self, connection: psycopg.Connection, by: Decimal) -> None:
        """Add what was really spent, less what was reserved for it; may be negative."""
        self._add(connection, by)

    def amount(self, connection: psycopg.Connection) -> Decimal:
        """The amount that is spent or reserved."""
        row = connection.execute(self._statement("spend"), self._names).fetchone()
        return row[0] if row else Decimal(0)

    def _add(self, connection: psycopg.Connection, amount: Decimal) -> Decimal:
        row = connection.execute(self._statement("add_spend"), {**self._names, "amount": amount}).fetchone()
        assert row is not None  # noqa: S101 (it is inserted or updated)
        return row[0]

    def _statement(self, name: str) -> sql.Composed:
        return statement("ops", name).format(table=sql.Identifier(self.room, "spend"))

    @property
    def _names(self) -> dict[str, object]:
        return {"tenant": self.tenant_id, "account": self.account, "unit": self.unit, "day": self.day}
