"""How fast a product feed is taken into the catalogue, compared with the older worker's way, and with how much memory.

The feed has 50 shards in a folder. Ours is a round of the platform, from the registry to the last commit
(`registries.take_registry`, `landing.take_feeds`), with its own role under row-level security: it reads everything,
checks it, merges it in one transaction and queues every product for its vector. "New" is into an empty catalogue.
"Unchanged" has the same files. "Republished" has other files with the same items. "Changed" has one changed product in
a hundred, also republished. "Rows written" counts rows of all tables of the catalogue, by version and place of every
row.

The older way does the same reads and writes as the older worker, shard by shard, into tables like its own. It reads
JSON with the standard library. For every group it looks up the brand, twice, and the category; for every product its
group, the brand of that, and the group again. It upserts at most 500 rows per brand (for products per brand and
category) and commits. For every product it looks up the offer and inserts it. It takes a feed of 5,000 products. The
stand-in is faster than the worker was: it has no ORM objects, no models that validate each row, no vectors and no row-
level security; every look-up has an index, and statements are prepared.

Each contestant has its own process; seconds are without its start and imports. All of them take turns in every round,
and a figure is the median of the rounds. Memory is the peak resident size of the process that takes new items, from 50
shards and from the first 10 of them, without PostgreSQL's. Network transfer and vectors are not measured.

    python -m benchmarks.catalog [--products N] [--rounds N] [--json]
"""

import sys
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import feeds, older_catalog
from benchmarks.cpu import cpu_seconds
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.catalog import landing, registries
from cdp_platform.catalog.config import Ingestor
from cdp_platform.catalog.sources import open_source
from cdp_platform.warehouse.connection import connect

_TENANT = "acme"
_SHARDS, _FEW_SHARDS = 50, 10
_OLDER_PRODUCTS, _OLDER_SHARDS = 5_000, 2
_CHANGED_EVERY = 100

NEW, UNCHANGED, REPUBLISHED, CHANGED = "ours, new", "ours, unchanged", "ours, republished", "ours, 1 % changed"
FEW, OLDER = f"ours, new, {_FEW_SHARDS} of the shards", "the older way, new"


@dataclass(frozen=True)
class Outcome:
    """The time and memory of one contestant in one round.

    Attributes:
        seconds: from the registry to the last commit.
        client: CPU of the process in that time, in seconds.
        server: CPU of PostgreSQL, likewise, with the start and end of its connection.
        peak_mb: the greatest resident memory of the process, in MB of 2**20 bytes.
    """

    seconds: float
    client: float
    server: float
    peak_mb: float


@dataclass
class Figures:
    """The measurements of one contestant.

    Attributes:
        products: in its feed.
        rows_written: of all tables of the catalogue, in the round that wrote most. The older way has tables of its own.
        wal_bytes: of write-ahead log, likewise.
    """

    products: int
    outcomes: list[Outcome] = field(default_factory=list)
    rows_written: int | None = None
    wal_bytes: int | None = None

    def of(self, name: str) -> float:
        """Median of the rounds."""
        return median(getattr(outcome, name) for outcome in self.outcomes)

    def microseconds(self, name: str) -> float:
        """Per product, median of the rounds."""
        return 1e6 * self.of(name) / self.products


class Bench:
    """The contestants, their feeds and their tables."""

    def __init__(self, database: BenchmarkDatabase, folder: Path, products: int) -> None:
        self._database = database
        self._products = products
        self._feed, self._few, self._older = folder / "feed", folder / "few", folder / "older"
        self.figures = {name: Figures(products) for name in (NEW, UNCHANGED, REPUBLISHED, CHANGED)}
        self.figures[FEW] = Figures(products * _FEW_SHARDS // _SHARDS)
        self.figures[OLDER] = Figures(_OLDER_PRODUCTS)
        feeds.write(self._few, self.figures[FEW].products, _FEW_SHARDS)
        feeds.write(self._older, _OLDER_PRODUCTS, _OLDER_SHARDS)
        with database.superuser() as connection:
            self._tables = [
                sql.Identifier(*row)
                for row in connection.execute(
                    "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'catalog'"
                ).fetchall()
            ]
        self._emptied = [*self._tables, sql.Identifier("embeddings", "text_batch")]

    def run_round(self) -> None:
        """Let each contestant run once."""
        feeds.write(self._feed, self._products, _SHARDS)
        self._empty()
        self._run(NEW, _ours, self._feed)
        self._run(UNCHANGED, _ours, self._feed)
        feeds.write(self._feed, self._products, _SHARDS, edition=1)
        self._run(REPUBLISHED, _ours, self._feed)
        feeds.write(self._feed, self._products, _SHARDS, edition=2, changed_every=_CHANGED_EVERY)
        self._run(CHANGED, _ours, self._feed)
        with psycopg.connect(self._database.url) as connection:
            older_catalog.make_tables(connection)
        self._run(OLDER, _the_older_way, self._older)
        self._empty()
        self._run(FEW, _ours, self._few)

    def rows(self) -> list[dict[str, Any]]:
        """The measurements, one row per contestant."""
        return [
            {
                "contestant": name,
                "products": each.products,
                "seconds": round(each.of("seconds"), 2),
                "microseconds a product": round(each.microseconds("seconds"), 1),
                "CPU of the client": round(each.microseconds("client"), 1),
                "CPU of the server": round(each.microseconds("server"), 1),
                "rows written": None if name == OLDER else each.rows_written,
                "WAL bytes": each.wal_bytes,
                "peak MB": round(each.of("peak_mb")),
            }
            for name, each in self.figures.items()
        ]

    def bars(self) -> list[Bar]:
        """The bars that the measurements have to meet."""
        figures = self.figures
        new, unchanged, republished = (figures[name] for name in (NEW, UNCHANGED, REPUBLISHED))
        older = figures[OLDER].microseconds("seconds")
        growth = new.of("peak_mb") / figures[FEW].of("peak_mb")
        return [
            Bar("new, to the older way, per product", older / new.microseconds("seconds"), 10),
            Bar("unchanged to new", new.of("seconds") / unchanged.of("seconds"), 5),
            Bar("rows written by unchanged", unchanged.rows_written or 0, 0, at_least=False),
            # Its own round and the state of its files are written, and no item.
            Bar(
                "rows written by republished, per file",
                (republished.rows_written or 0) / (_SHARDS + 2),
                1,
                at_least=False,
            ),
            Bar(f"memory at {_SHARDS} shards, to {_FEW_SHARDS}", growth, 1.1, at_least=False),
        ]

    def _run(self, name: str, contestant: Callable[[BenchmarkDatabase, Path], Any], folder: Path) -> None:
        narrate(f"  {name}")
        self._database.settle(*self._emptied)
        figures = self.figures[name]
        with (
            self._counting_writes(figures),
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            before = cpu_seconds(self._database.postmaster)
            seconds, client, peak_mb, done = pool.submit(_measured, contestant, self._database, folder).result()
            server = (cpu_seconds(self._database.postmaster) - before).server
        if done != (expected := _expected(name, figures.products)):
            raise RuntimeError(f"{name}: {done} and not {expected}")
        figures.outcomes.append(Outcome(seconds, client, server, peak_mb))

    @contextmanager
    def _counting_writes(self, figures: Figures) -> Generator[None]:
        """Compare version and place of every row before and after, and measure the bytes of write-ahead log."""
        versions = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT tableoid AS of, ctid AS place, xmin::text AS version FROM {}").format(table)
            for table in self._tables
        )
        with self._database.superuser() as connection:
            connection.execute(sql.SQL("CREATE TEMPORARY TABLE before AS {}").format(versions))
            position = _one(connection, "SELECT pg_current_wal_insert_lsn()::text")
            yield
            wal = _one(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)::bigint", position)
            rows = _one(
                connection,
                sql.SQL("SELECT count(*) FROM ({} EXCEPT TABLE before) AS written").format(versions),
            )
        figures.wal_bytes = max(figures.wal_bytes or 0, wal)
        figures.rows_written = max(figures.rows_written or 0, rows)

    def _empty(self) -> None:
        with self._database.superuser() as connection:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(self._emptied)))


def _expected(name: str, products: int) -> dict[str, int]:
    """The numbers that a contestant has to report; there is one group per ten products."""
    items = products + products // 10
    changed = products // _CHANGED_EVERY
    return {
        UNCHANGED: {"new": 0, "changed": 0, "unchanged": 0},
        REPUBLISHED: {"new": 0, "changed": 0, "unchanged": items},
        CHANGED: {"new": 0, "changed": changed, "unchanged": items - changed},
    }.get(name, {"new": items, "changed": 0, "unchanged": 0})


def _ours(database: BenchmarkDatabase, folder: Path) -> dict[str, int]:
    """A round of the platform."""
    ingestor = Ingestor.model_validate(
        {
            "name": "benchmark",
            "tenant": _TENANT,
            "source_type": "local",
            "root": str(folder),
            "registry": feeds.REGISTRY,
        }
    )
    with connect(database.settings) as connection, open_source(ingestor) as source:
        registries.take_registry(connection, source, ingestor, ingestors=[ingestor.name])
        (found,) = landing.take_feeds(connection, source, ingestor)
    return {"new": found.new, "changed": found.changed, "unchanged": found.unchanged}


def _the_older_way(database: BenchmarkDatabase, folder: Path) -> dict[str, int]:
    """The stand-in for the older worker."""
    with psycopg.connect(database.url) as connection:
        return {"new": older_catalog.take(connection, folder), "changed": 0, "unchanged": 0}


def _measured(
    contestant: Callable[[BenchmarkDatabase, Path], Any], database: BenchmarkDatabase, folder: Path
) -> tuple[float, float, float, Any]:
    """Seconds, CPU seconds of this process, its peak memory in MB, and what the contestant returned."""
    began, used = time.perf_counter(), time.process_time()
    done = contestant(database, folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    # getrusage reports at least the size of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return seconds, cpu, peak_kb / 1024, done


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--products", type=int, default=100_000, help="of the feed that ours takes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contestant runs")
    given = parser.parse_args()
    with benchmark_database({_TENANT: "none"}) as database, tempfile.TemporaryDirectory() as folder:
        bench = Bench(database, Path(folder), given.products)
        for number in range(1, given.rounds + 1):
            narrate(f"round {number} of {given.rounds}")
            bench.run_round()
    return finish(
        f"a feed of {given.products:,} products, to the older way; median of {given.rounds} rounds",
        bench.rows(),
        bench.bars(),
        notes=["CPU is in microseconds a product."],
        as_json=given.as_json,
    )


def _one(connection: psycopg.Connection, query: Any, *values: Any) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


if __name__ == "__main__":
    sys.exit(main())
