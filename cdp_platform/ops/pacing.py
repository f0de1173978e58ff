"""Turns: how often an outside system may be called in a minute, shared by all processes through the warehouse."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import connect


@dataclass(frozen=True)
class Pacer:
    """Waits for turns and asks for rests.

    A turn is reserved in a transaction of its own: inside another one it would hold up everybody until that ended.

    Attributes:
        connection: that commits by itself, and is in no transaction when a turn is asked for.
        sleep: waits so many seconds.
    """

    connection: psycopg.Connection
    sleep: Callable[[float], None] = time.sleep

    def wait_for_turn(self, name: str, *, per_minute: int) -> None:
        """Come back when it is the caller's turn: no 60 seconds have more than ``per_minute`` turns of this name."""
        self._require_own_transaction()
        row = self.connection.execute(
            "SELECT extract(epoch FROM ops.take_turn(%s, %s))::float8", [name, per_minute]
        ).fetchone()
        if row is not None and row[0] > 0:
            self.sleep(row[0])

    def rest(self, name: str, seconds: float) -> None:
        """Put off every turn of this name that is not reserved yet: the first is so many seconds from now."""
        self._require_own_transaction()
        self.connection.execute("SELECT ops.rest(%s, %s)", [name, seconds])

    def _require_own_transaction(self) -> None:
        if not self.connection.autocommit or self.connection.info.transaction_status != TransactionStatus.IDLE:
            raise RuntimeError("a turn inside a transaction would hold up everybody until that ends")


@contextmanager
def open_pacer(settings: PostgresSettings) -> Generator[Pacer]:
    """A pacer with a connection of its own, for work that holds a transaction open meanwhile."""
    with connect(settings) as connection:
        yield Pacer(connection)
