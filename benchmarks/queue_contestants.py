"""Other queues in PostgreSQL: jobs that carry nothing, claimed and ended until none is left.

Each has a database of its own on the benchmark's server. A contestant is used as its documentation advises, and at its
fastest setting too: pgqueuer by its manager and by its queries alone, with tables that do not survive a crash;
procrastinate with many jobs at once, deleting them at their end. The bare loop is one table with nothing but a key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import asyncpg
import procrastinate
import psycopg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.types import QueueEntrypoint, QueueExecutionMode, QueueManagerId
from procrastinate import PsycopgConnector
from psycopg import sql

from benchmarks.database import BenchmarkDatabase

_NAME = "nothing"
# More did not make it faster.
_AT_ONCE = 20


class Bare:
    """FOR UPDATE SKIP LOCKED and DELETE in one transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE bare (id bigint PRIMARY KEY)")

    def wait_for_disk(self, *, waits: bool) -> None:
        """Whether commits wait until they are on the disk."""
        self._connection.execute(f"SET synchronous_commit = {'on' if waits else 'off'}")

    def fill(self, jobs: int) -> None:
        """Insert this number of jobs, and analyze the table."""
        self._connection.execute("INSERT INTO bare SELECT generate_series(1, %s)", [jobs])
        self._connection.execute("VACUUM ANALYZE bare")

    def work(self, size: int) -> None:
        """Claim and end so many jobs in a transaction until there are none."""
        claim = "SELECT id FROM bare ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
        while True:
            with self._connection.transaction():
                ids = [number for (number,) in self._connection.execute(claim, [size], binary=True).fetchall()]
                self._connection.execute("DELETE FROM bare WHERE id = ANY (%s)", [ids])
            if not ids:
                return


class PgQueuerQueue:
    """pgqueuer with asyncpg, which its documentation advises."""

    def __init__(self, address: str) -> None:
        self._address = address
        asyncio.run(self._install())

    async def _install(self) -> None:
        queries = Queries(AsyncpgDriver(await asyncpg.connect(self._address)))
        await queries.install()

    def be_durable(self, *, durable: bool) -> None:
        """Whether its tables survive a crash of the server."""
        with psycopg.connect(self._address, autocommit=True) as connection:
            names = connection.execute(
                "SELECT oid::regclass::text FROM pg_class WHERE relname ~ '^pgqueuer' AND relkind = 'r'"
            ).fetchall()
            for (name,) in sorted(names, reverse=durable):
                how = sql.SQL("LOGGED" if durable else "UNLOGGED")
                connection.execute(sql.SQL("ALTER TABLE {} SET {}").format(sql.Identifier(name), how))

    def fill(self, jobs: int) -> None:
        """Insert this number of jobs."""
        asyncio.run(self._fill(jobs))
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    async def _fill(self, jobs: int) -> None:
        connection = await asyncpg.connect(self._address)
        await Queries(AsyncpgDriver(connection)).enqueue([_NAME] * jobs, [None] * jobs, [0] * jobs)
        await connection.close()

    def by_manager(self, size: int) -> None:
        """Drain the queue by the documented manager, with a function that does nothing."""

        async def run() -> None:
            connection = await asyncpg.connect(self._address)
            queue = PgQueuer(AsyncpgDriver(connection))

            @queue.entrypoint(_NAME)
            async def nothing(_job: Job) -> None:
                pass

            await queue.qm.run(batch_size=size, mode=QueueExecutionMode.drain)

        asyncio.run(run())

    def by_queries(self, size: int) -> None:
        """Its two queries alone, without the tasks and the buffers around them."""

        async def run() -> None:
            connection = await asyncpg.connect(self._address)
            queries = Queries(AsyncpgDriver(connection))
            entrypoints = {QueueEntrypoint(_NAME): EntrypointExecutionParameter(0)}
            worker = QueueManagerId(uuid4())
            while jobs := await queries.dequeue(size, entrypoints, worker, None, timedelta(seconds=30)):
                await queries.log_jobs([(job, "successful", None) for job in jobs])
            await connection.close()

        asyncio.run(run())


class ProcrastinateQueue:
    """procrastinate with psycopg."""

    def __init__(self, address: str) -> None:
        self._address = address
        asyncio.run(self._run(lambda app: app.schema_manager.apply_schema_async()))

    def fill(self, jobs: int) -> None:
        """Insert this number of jobs."""
        asyncio.run(self._run(lambda app: app.tasks[_NAME].configure().batch_defer_async(*[{}] * jobs)))
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def work(self) -> None:
        """Run the documented worker, with many jobs at once and rows that are deleted at their end."""
        asyncio.run(
            self._run(
                lambda app: app.run_worker_async(
                    wait=False,
                    concurrency=_AT_ONCE,
                    listen_notify=False,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            )
        )

    async def _run(self, what: Callable[[procrastinate.App], Awaitable[object]]) -> None:
        app = procrastinate.App(connector=PsycopgConnector(conninfo=self._address, max_size=_AT_ONCE))

        @app.task(name=_NAME)
        async def nothing() -> None:
            pass

        async with app.open_async():
            await what(app)


def own_database(database: BenchmarkDatabase, name: str) -> str:
    """The address of a new database of this name."""
    with database.superuser() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER benchmark_owner").format(sql.Identifier(name)))
    return f"{database.url.rpartition('/')[0]}/{name}"
