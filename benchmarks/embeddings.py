"""Loading vectors with an index, and searching them. `benchmarks.text_queue` has the queue and the worker.

Everything runs on one embedded PostgreSQL, as the platform's role, bound by row-level security. The figures include
what else the machine does.

A load is what the asset does: drain, and build missing indexes. Vectors come from a table, so a load includes the time
of the queue and the worker, and no time of a provider. The first load has all vectors of three tenants and no index
before its end. The load into live indexes has a tenth of them, all of the large tenant, whose index holds one half.
Each is measured once.

A search is `search.nearest` for 10 vectors, one after another on one connection, with everything in memory. Recall is
the share of the 10 nearest that is found; there is a bar for the worst query beside the mean. One tenant has 87 % of
the vectors and another one 12 %. The third is so small that the platform compares all of its vectors, and misses none.
Every vector compared is `search.nearest_exact`, for a tenth of the queries in the same run. Vectors are generated: 500
groups of 256 dimensions.

The scale `million` measures searches alone: a tenant has a million vectors, and another one ten thousand. They are
copied into the table, and the indexes are built as after a load. It takes about ten minutes and 6 GB of memory.

The peak of memory is that of this process, with all generated vectors and texts; it does not include PostgreSQL.

    python -m benchmarks.embeddings [--scale usual|million] [--vectors N] [--json]
"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from benchmarks.searches import QUERIES, Million, Searched, measure
from benchmarks.vectors import Given, fill, grouped
from cdp_platform.embeddings import indexes, models, worker
from cdp_platform.embeddings.models import Model
from cdp_platform.embeddings.providers import Provider, opener
from cdp_platform.embeddings.worker import DrainResult
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction

_LARGE, _MIDDLE, _SMALL = "large", "middle", "small"
_KIND = "profile"
_REQUESTED = 64
# Shares of all vectors. The large tenant has the remaining ones.
_SMALL_SHARE, _MIDDLE_SHARE = 0.01, 0.12
# The live index holds one half of the vectors, and gets a tenth.
_HELD_SHARE, _LIVE_SHARE = 2, 10
_TABLES = [sql.Identifier("embeddings", name) for name in ("text_batch", "embedding_job", "embedding", "passage")]

FIRST, BUILD, LIVE = "first load, indexes afterwards", "of that, building", "into a live index"


class Bench:
    """The measurements."""

    def __init__(self, database: BenchmarkDatabase, connection: psycopg.Connection, model: Model) -> None:
        self.seconds: dict[str, float] = {}
        self.jobs: dict[str, int] = {}
        self.searches: dict[str, Searched] = {}
        self._database = database
        self._connection = connection
        self._model = model

    def per_second(self, name: str) -> float:
        """Vectors per second."""
        return self.jobs[name] / self.seconds[name]

    def _drain(self, tenant_ids: Sequence[str], provider: Provider) -> Mapping[str, DrainResult]:
        return worker.drain(
            partial(connect, self._database.settings),
            tenant_ids,
            _KIND,
            open_provider=lambda _model: provider,
            batch_size=_REQUESTED,
        )

    # Loads and searches.

    def measure_vectors(self, count: int) -> None:
        """Load vectors, search them, and load some of them again into an index that is in use."""
        vectors, queries = grouped(count, self._model.dimensions, queries=QUERIES)
        provider = Given(vectors, self._model.dimensions)
        narrate(f"{count:,} profiles")
        small, middle = int(count * _SMALL_SHARE), int(count * _MIDDLE_SHARE)
        numbers = {
            _SMALL: range(small),
            _MIDDLE: range(small, small + middle),
            _LARGE: range(small + middle, count),
        }
        for tenant_id, those in numbers.items():
            fill(self._connection, tenant_id, those, numbered=True)
        self._database.settle(*_TABLES)
        self._load(FIRST, count, provider, builds=2)
        self._database.settle(*_TABLES)
        for tenant_id, those in numbers.items():
            self.searches[tenant_id] = measure(
                self._connection,
                tenant_id,
                _KIND,
                self._model,
                vectors=vectors[those.start : those.stop],
                queries=queries,
            )
        narrate(f"a live index over {count // _HELD_SHARE:,}")
        more = count // _LIVE_SHARE
        indexes.drop(self._connection, _KIND, self._model.model_id)
        self._forget_all_but(count // _HELD_SHARE, more)
        indexes.finish_load(self._connection, _KIND, self._model.model_id)
        self._database.settle(*_TABLES)
        self._load(LIVE, more, provider, builds=0)

    def _load(self, name: str, count: int, provider: Provider, *, builds: int) -> None:
        """Embed as the asset does, so that the platform chooses which indexes to build."""
        narrate(f"  {name}")
        began = time.perf_counter()
        outcomes = self._drain([_LARGE, _MIDDLE, _SMALL], provider)
        drained = time.perf_counter()
        built = indexes.finish_load(self._connection, _KIND, self._model.model_id)
        ended = time.perf_counter()
        loaded = sum(outcome.embedded for outcome in outcomes.values())
        if loaded != count or built != builds:
            raise RuntimeError(f"{name}: {loaded} of {count} loaded, indexes built: {built}")
        self.seconds[name], self.jobs[name] = ended - began, count
        if built:
            self.seconds[BUILD], self.jobs[BUILD] = ended - drained, count

    def _forget_all_but(self, held: int, more: int) -> None:
        """Leave the large tenant with ``held`` vectors, and with ``more`` texts that wait for theirs."""
        with tenant_transaction(self._connection, _LARGE):
            gone = [
                entity_id
                for (entity_id,) in self._connection.execute(
                    "SELECT entity_id FROM embeddings.embedding ORDER BY entity_id OFFSET %s", [held]
                )
            ]
            for function, ids in (("forget", gone), ("enqueue", gone[:more])):
                self._connection.execute(
                    sql.SQL("SELECT embeddings.{}(%s, %s, %s)").format(sql.Identifier(function)), [_LARGE, _KIND, ids]
                )

    # The results.

    def rows(self) -> list[dict[str, Any]]:
        """One row per measurement."""
        return [
            {
                "what": name,
                "jobs": self.jobs[name],
                "seconds": round(self.seconds[name], 2),
                "jobs/s": round(self.per_second(name)),
                "microseconds a job": round(1e6 / self.per_second(name), 1),
                "p50 ms": None,
                "p95 ms": None,
                "recall@10": None,
                "worst": None,
            }
            for name in (FIRST, BUILD, LIVE)
        ] + [
            dict.fromkeys(("what", "jobs", "seconds", "jobs/s", "microseconds a job")) | row
            for tenant_id, searched in self.searches.items()
            for row in searched.rows(tenant_id)
        ]

    def bars(self) -> list[Bar]:
        """The bars that the measurements must meet."""
        return [
            Bar(f"{LIVE}, to a first load", self.per_second(LIVE) / self.per_second(FIRST), 0.3),
            *(bar for tenant_id in (_LARGE, _MIDDLE, _SMALL) for bar in self._bars_of_searches(tenant_id)),
        ]

    def _bars_of_searches(self, tenant_id: str) -> list[Bar]:
        found = self.searches[tenant_id]
        bars = [
            Bar(f"recall@10, {tenant_id}", found.recall, 0.98),
            Bar(f"recall@10 of the worst query, {tenant_id}", found.worst, 0.8),
            Bar(f"p95 of a search, {tenant_id}, milliseconds", found.p95, 10, at_least=False),
        ]
        if tenant_id != _SMALL:
            bars.append(
                Bar(f"p95 of a search, {tenant_id}, to exact ones", found.p95 / found.exact_p95, 0.2, at_least=False)
            )
        return bars


def _use_local_model(connection: psycopg.Connection) -> None:
    settings = EmbeddingSettings(embedding_provider="local", embed_model_id="", embed_daily_budget=None)
    models.ensure_default(connection, settings, opener(settings))


def _million(*, as_json: bool) -> int:
    with (
        benchmark_database(dict.fromkeys(Million.tenants, "none")) as database,
        connect(database.settings) as connection,
    ):
        _use_local_model(connection)
        million = Million(database, connection, models.active(connection))
        million.measure()
        notes = million.notes()
    title = "searches of a tenant with a million vectors, and of one with a hundredth as many beside it"
    return finish(title, million.rows(), million.bars(), notes=notes, as_json=as_json)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--vectors", type=int, default=100_000, help="for loads and searches; 90,000 or more")
    parser.add_argument("--scale", choices=["usual", "million"], default="usual", help="million: searches alone")
    given = parser.parse_args()
    if given.scale == "million":
        return _million(as_json=given.as_json)
    with (
        benchmark_database(dict.fromkeys((_LARGE, _MIDDLE, _SMALL), "none")) as database,
        connect(database.settings) as connection,
    ):
        _use_local_model(connection)
        bench = Bench(database, connection, models.active(connection))
        bench.measure_vectors(given.vectors)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return finish(
        f"loads and searches of {given.vectors:,} vectors",
        bench.rows(),
        bench.bars(),
        notes=[f"Peak memory of this process: {peak_mb:.0f} MB, made-up vectors and texts among it."],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
