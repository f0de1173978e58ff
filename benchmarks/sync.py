"""How fast a collection comes into PostgreSQL: ours beside dlt, the older workers' ways, and PostgreSQL's own limit.

All read the same documents from the same stub, in turns, several rounds; a figure is the median of its rounds. The
limit is COPY by the server itself, from a binary file of the very rows that ours makes, into a table with the columns,
constraints and indexes of `limit_tables.sql`: nothing is read from a source, parsed, mapped or compared.

    python -m benchmarks.sync [--documents N] [--rounds N] [--collection NAME] [--json]
"""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.contestants import (
    CHUNK,
    Outcome,
    Task,
    dlt_merge,
    in_chunks,
    in_fresh_process,
    limit,
    ours,
    row_by_row,
)
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.documents import CONVERSIONS, PROFILES
from benchmarks.reporting import Bar, arguments, finish, narrate
from benchmarks.stub import database_of, running_stub

_TABLES = {PROFILES: "cdp_profiles", CONVERSIONS: "transactions"}
_KEYS = {PROFILES: "profile_id", CONVERSIONS: "line_id"}
_TO_LIMIT = {PROFILES: 0.55, CONVERSIONS: 0.5}
_TENANT, _LARGE_TENANT = "usual", "large"
# How much larger the collection is by which memory is judged.
_LARGER = 4
# Row by row takes a share of the documents: the rest would take as long again, for each of them.
_SHARE = 10

ALONE, ALONE_AGAIN = "ours, one process", "ours, one process, again"
TWO, TWO_AGAIN = "ours, two processes", "ours, two processes, again"
DLT, DLT_AGAIN = "dlt, merge by upsert", "dlt, merge by upsert, again"
DLT_TUNED, DLT_TUNED_AGAIN = "dlt, the same by CSV", "dlt, the same by CSV, again"
ROW_BY_ROW = f"row by row (1/{_SHARE} of the documents)"
IN_CHUNKS = f"executemany, {CHUNK} a time"
LIMIT = "limit: COPY by the server"


@dataclass
class Figures:
    """What the rounds of one contestant measured.

    Attributes:
        outcomes: one per round.
        rows_rewritten: by runs over unchanged documents, all rounds together.
        wal_bytes: of write-ahead log that such a run wrote, at most.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    rows_rewritten: int | None = None
    wal_bytes: int | None = None

    @property
    def seconds(self) -> float:
        """Median of the rounds."""
        return median(outcome.seconds for outcome in self.outcomes)

    @property
    def per_second(self) -> float:
        """Documents per second, median of the rounds."""
        return median(outcome.documents / outcome.seconds for outcome in self.outcomes)

    @property
    def cpu_us(self) -> tuple[float, float]:
        """CPU microseconds per document of client and server, medians of the rounds."""
        of = [(outcome.cpu, 1e6 / outcome.documents) for outcome in self.outcomes]
        return median(cpu.client * us for cpu, us in of), median(cpu.server * us for cpu, us in of)

    @property
    def peak_mb(self) -> float:
        """Greatest resident memory of the process, median of the rounds."""
        return median(outcome.peak_mb for outcome in self.outcomes)


class Race:
    """The contestants of one collection."""

    def __init__(self, database: BenchmarkDatabase, url: str, collection: str, documents: int) -> None:
        self.figures = {
            name: Figures()
            for name in (
                *(ALONE, ALONE_AGAIN, TWO, TWO_AGAIN, DLT, DLT_AGAIN, DLT_TUNED, DLT_TUNED_AGAIN),
                *(ROW_BY_ROW, IN_CHUNKS, LIMIT),
            )
        }
        self._database = database
        self._documents = documents
        self._task = Task(database, url, _TENANT, database_of(documents), collection)
        self._large_task = Task(database, url, _LARGE_TENANT, database_of(documents * _LARGER), collection)
        self._table_name = _TABLES[collection]
        self._table = sql.Identifier("customers", self._table_name)
        self._key = sql.Identifier(_KEYS[collection])
        self._large_peak_mb = 0.0

    def run_round(self) -> None:
        """Let each contestant run once."""
        self._run_ours(ALONE, ALONE_AGAIN, second_process=False)
        self._run_ours(TWO, TWO_AGAIN, second_process=True)
        self._run([LIMIT], limit, self._task, self._table_name)
        for names, tuned in (((DLT, DLT_AGAIN), False), ((DLT_TUNED, DLT_TUNED_AGAIN), True)):
            self._run_other(names, ["dlt_benchmark", "dlt_benchmark_staging"], dlt_merge, tuned)
        self._run_other([ROW_BY_ROW], ["older"], row_by_row, self._documents // _SHARE)
        self._run_other([IN_CHUNKS], ["older"], in_chunks)

    def run_large(self) -> None:
        """Let ours run once on the larger collection, for its memory: the stub encodes those documents as it goes."""
        narrate(f"{self._task.collection}, {_LARGER} times the documents")
        self._empty()
        self._large_peak_mb = in_fresh_process(ours, self._large_task, False)[0].peak_mb

    def rows(self) -> list[dict[str, Any]]:
        """What was measured, a contestant a row."""
        limit, dlt = self.figures[LIMIT].per_second, self.figures[DLT].per_second
        return [
            {
                "collection": self._task.collection,
                "contestant": name,
                "seconds": round(figures.seconds, 2),
                "documents/s": round(figures.per_second),
                "client CPU us": round(figures.cpu_us[0], 1),
                "server CPU us": round(figures.cpu_us[1], 1),
                "to the limit": round(figures.per_second / limit, 3),
                "to dlt": round(figures.per_second / dlt, 2),
                "rows rewritten": figures.rows_rewritten,
                "WAL bytes": figures.wal_bytes,
                "peak MB": round(figures.peak_mb) or None,
            }
            for name, figures in self.figures.items()
        ]

    def bars(self) -> list[Bar]:
        """What they are held to."""
        figures, of = self.figures, f" ({self._task.collection})"
        speed = {name: each.per_second for name, each in figures.items()}
        rewritten = sum(figures[name].rows_rewritten or 0 for name in (ALONE_AGAIN, TWO_AGAIN))
        growth = self._large_peak_mb / figures[ALONE].peak_mb
        return [
            Bar("one process, to dlt" + of, speed[ALONE] / speed[DLT], 6),
            Bar("one process, to the limit" + of, speed[ALONE] / speed[LIMIT], _TO_LIMIT[self._task.collection]),
            Bar("one process, unchanged, to dlt's repeated run" + of, speed[ALONE_AGAIN] / speed[DLT_AGAIN], 15),
            Bar("two processes, to dlt" + of, speed[TWO] / speed[DLT], 9),
            Bar("two processes, to the limit" + of, speed[TWO] / speed[LIMIT], 0.75),
            Bar("two processes, unchanged to new" + of, speed[TWO_AGAIN] / speed[TWO], 1),
            Bar("rows rewritten by unchanged" + of, rewritten, 0, at_least=False),
            Bar(f"memory at {_LARGER} times the documents" + of, growth, 1.1, at_least=False),
        ]

    def _run_ours(self, new: str, again: str, *, second_process: bool) -> None:
        self._empty()
        self._run([new], ours, self._task, second_process)
        self._settle()
        with self._database.superuser() as connection, self._counting_writes(connection, self.figures[again]):
            self._run([again], ours, self._task, second_process)

    @contextmanager
    def _counting_writes(self, connection: psycopg.Connection, figures: Figures) -> Generator[None]:
        """Compare version and place of every row before and after, and how far the write-ahead log has moved."""
        versions = sql.SQL("SELECT {key} AS key, xmin::text AS version, ctid::text AS place FROM {table}").format(
            key=self._key, table=self._table
        )
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE before AS ") + versions)
        position = _one(connection, "SELECT pg_current_wal_insert_lsn()::text")
        yield
        written = _one(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)::bigint", position)
        rewritten = _one(
            connection,
            sql.SQL(
                "SELECT count(*) FROM before FULL JOIN ({}) AS after USING (key)"
                " WHERE (before.version, before.place) IS DISTINCT FROM (after.version, after.place)"
            ).format(versions),
        )
        figures.rows_rewritten = (figures.rows_rewritten or 0) + rewritten
        figures.wal_bytes = max(figures.wal_bytes or 0, written)

    def _run_other(
        self, names: Sequence[str], schemas: list[str], contestant: Callable[..., list[Outcome]], *args: Any
    ) -> None:
        self._empty()
        self._run(names, contestant, self._task, *args)
        with self._database.superuser() as connection:
            connection.execute(
                sql.SQL("DROP SCHEMA {} CASCADE").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))
            )

    def _run(self, names: Sequence[str], contestant: Callable[..., list[Outcome]], *args: Any) -> None:
        narrate(f"  {names[0]}")
        for name, outcome in zip(names, in_fresh_process(contestant, *args), strict=True):
            self.figures[name].outcomes.append(outcome)

    def _empty(self) -> None:
        with self._database.superuser() as connection:
            connection.execute(
                sql.SQL(
                    "TRUNCATE {}, customers.touched_customer, customers.segment_member, embeddings.text_batch,"
                    " ops.sync_watermark"
                ).format(self._table)
            )
        self._settle()

    def _settle(self) -> None:
        beside = [("customers", "touched_customer"), ("embeddings", "text_batch")]
        self._database.settle(self._table, *(sql.Identifier(*table) for table in beside))


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=100_000, help="how many documents a collection has")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant runs")
    parser.add_argument("--collection", choices=list(_TABLES), help="only this one")
    given = parser.parse_args()
    collections = [given.collection] if given.collection else list(_TABLES)
    sizes = {_TENANT: given.documents, _LARGE_TENANT: given.documents * _LARGER}
    with (
        running_stub(given.documents) as url,
        benchmark_database({tenant: database_of(size) for tenant, size in sizes.items()}) as database,
    ):
        races = [Race(database, url, collection, given.documents) for collection in collections]
        for number in range(1, given.rounds + 1):
            for race, collection in zip(races, collections, strict=True):
                narrate(f"{collection}, round {number} of {given.rounds}")
                race.run_round()
        for race in races:
            race.run_large()
    return finish(
        f"sync of {given.documents:,} documents, median of {given.rounds} rounds",
        [row for race in races for row in race.rows()],
        [bar for race in races for bar in race.bars()],
        contestants=["dlt"],
        as_json=given.as_json,
    )


def _one(connection: psycopg.Connection, query: Any, *values: Any) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


if __name__ == "__main__":
    sys.exit(main())
