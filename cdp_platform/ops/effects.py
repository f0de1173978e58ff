"""Effects: what a room does outside that cannot be taken back, and how far each is.

Before anything is sent, an effect is a row of the room's own ledger, so that no crash does it twice and none is
forgotten. A ledger table has the columns ``tenant_id``, a key, ``state`` (domain ``ops.effect_state``) and ``reason``,
and the trigger that ``ops.guard_effects`` sets: no row moves backwards. ``ops.effect_move`` has the moves::

    reserved  <-->  handed_over  --->  confirmed
      | | |            |   |             ^
      | | |            |   +-> unknown --+
      | | |            v          |
      | | +--------> failed <-----+
      | +----------> excluded     somebody must not get it
      +------------> unchanged    there is nothing to do

A row begins as ``reserved``, ``excluded`` or ``unchanged``. It is ``handed_over`` while the outside may act, and then
``confirmed``, ``failed`` (nothing was done) or ``unknown`` (no answer). Where the outside can be asked, its answer
settles what is unresolved; otherwise it is reported. Another attempt after ``failed`` is another row. What the outside
certainly did not take goes back to ``reserved`` (`Ledger.put_back`) and can be handed over again, under the same key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg import sql

from cdp_platform.warehouse.statements import statement

State: TypeAlias = Literal["reserved", "handed_over", "confirmed", "failed", "unknown", "excluded", "unchanged"]
UNRESOLVED: tuple[State, ...] = ("reserved", "handed_over", "unknown")


@dataclass(frozen=True)
class Ledger:
    """The effects of one tenant in one ledger table.

    Attributes:
        connection: inside a transaction of the tenant at each method.
        tenant_id: whose effects.
        table: with its schema.
        key: the column that is the primary key together with ``tenant_id``.
    """

    connection: psycopg.Connection
    tenant_id: str
    table: str
    key: str

    def reserve(self, key: object, columns: Mapping[str, object] | None = None) -> bool:
        """Write an effect down before it is done; returns False where it is written down already."""
        values = {"tenant_id": self.tenant_id, self.key: key, **(columns or {})}
        return (
            self._run(
                "reserve_effect",
                columns=sql.SQL(", ").join(map(sql.Identifier, values)),
                values=sql.SQL(", ").join(sql.Placeholder() * len(values)),
                parameters=list(values.values()),
            ).rowcount
            == 1
        )

    def hand_over(self, key: object) -> bool:
        """From now on the outside may act. Commit it before the call.

        Returns:
            False where it is not ``reserved`` any more: another process has it, so do not call.
        """
        return self._move(key, "handed_over", None, ["reserved"])

    def put_back(self, key: object, reason: str | None = None) -> bool:
        """The outside certainly did not take it: it can be handed over again. False where it is not handed over."""
        return self._move(key, "reserved", reason, ["handed_over"])

    def settle(self, key: object, state: State, reason: str | None = None) -> bool:
        """Write down how an effect ended; returns False, and changes nothing, where it is settled already.

        Raises:
            psycopg.errors.CheckViolation: there is no such move.
        """
        return self._move(key, state, reason, list(UNRESOLVED))

    def unresolved(self) -> dict[Any, State]:
        """Effects of which it is not known how they ended, by key. What is reserved only was not done."""
        return dict(self._run("unresolved_effects", parameters=[self.tenant_id, list(UNRESOLVED)]).fetchall())

    def _move(self, key: object, state: State, reason: str | None, states: list[State]) -> bool:
        return self._run("move_effect", parameters=[state, reason, self.tenant_id, key, states]).rowcount == 1

    def _run(self, name: str, *, parameters: list[Any], **parts: sql.Composable) -> psycopg.Cursor:
        query = statement("ops", name).format(
            table=sql.Identifier(*self.table.split(".")), key=sql.Identifier(self.key), **parts
        )
        return self.connection.execute(query, parameters)


def ledgers(connection: psycopg.Connection) -> dict[str, bool]:
    """The tables whose rows are effects, with their schemas, and whether the effects are those of tenants."""
    return dict(connection.execute(statement("ops", "ledgers")).fetchall())


def doubt(connection: psycopg.Connection, table: str, tenant_id: str | None) -> int:
    """Make every open effect of a ledger unknown, as after the restore of a backup; returns their number.

    What was only reserved in the backup may have been done since.

    Args:
        connection: inside a transaction, of the tenant if there is one.
        table: with its schema.
        tenant_id: whose effects; None for a ledger of the platform's own effects.
    """
    whose = sql.SQL("true") if tenant_id is None else sql.SQL("tenant_id = {}").format(sql.Literal(tenant_id))
    parts = {"table": sql.Identifier(*table.split(".")), "whose": whose}
    connection.execute(statement("ops", "doubt_reserved").format(**parts))
    return connection.execute(statement("ops", "doubt_handed_over").format(**parts)).rowcount
