"""Connections to the warehouse for requests: a few, kept open, and none waits for ever."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import psycopg
from starlette.concurrency import run_in_threadpool

from cdp_platform.errors import BusyError, UnavailableError
from cdp_platform.settings import PostgresSettings
from cdp_platform.warehouse.connection import connect

T = TypeVar("T")

# So many requests are at work in the warehouse at once; the others wait their turn.
_MOST = 8
# Limits of one statement, and of the wait for a lock. A provider that gets no answer reports again.
_STATEMENT_SECONDS = 15
_LOCK_SECONDS = 10


class Database:
    """The warehouse, for work that may be done twice: where a connection breaks, the work begins again on a new one."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings.model_copy(update={"statement_timeout": _STATEMENT_SECONDS})
        self._turns = asyncio.Semaphore(_MOST)
        self._idle: list[tuple[psycopg.Connection, ExitStack]] = []

    async def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do this in a thread, with a connection outside of any transaction.

        Raises:
            UnavailableError: the warehouse does not answer.
            BusyError: it is too busy.
        """
        async with self._turns:
            return await run_in_threadpool(lambda: self._run(work))

    def close(self) -> None:
        """Close all connections that are idle."""
        while self._idle:
            self._idle.pop()[1].close()

    def _run(self, work: Callable[[psycopg.Connection], T]) -> T:
        try:
            if self._idle:
                try:
                    return self._on(*self._idle.pop(), work)
                except psycopg.OperationalError:
                    # The server was restarted meanwhile, and all idle connections with it.
                    self.close()
            return self._on(*self._opened(), work)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            raise BusyError(f"The warehouse is too busy ({type(error).__name__}). Try again.") from error
        except psycopg.OperationalError as error:
            raise UnavailableError(f"The warehouse does not answer ({type(error).__name__}). Try again.") from error

    def _on(self, connection: psycopg.Connection, stack: ExitStack, work: Callable[[psycopg.Connection], T]) -> T:
        try:
            result = work(connection)
        except BaseException:
            stack.close()
            raise
        self._idle.append((connection, stack))
        return result

    def _opened(self) -> tuple[psycopg.Connection, ExitStack]:
        stack = ExitStack()
        connection = stack.enter_context(connect(self._settings))
        connection.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
        return connection, stack
