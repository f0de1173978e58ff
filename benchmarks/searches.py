"""Searches by the index beside searches that compare every vector: time and recall, also among a million vectors."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from benchmarks.cpu import cpu_seconds
from benchmarks.database import BenchmarkDatabase
from benchmarks.reporting import Bar, narrate
from benchmarks.vectors import grouped
from cdp_platform.embeddings import indexes, search
from cdp_platform.embeddings.kinds import Kind
from cdp_platform.embeddings.models import Model
from cdp_platform.warehouse.connection import tenant_transaction

QUERIES, NEAREST = 1_000, 10
_WARM = 20
# The true neighbours are computed for so many vectors at once: 400 MB of similarities for a thousand queries.
_BLOCK = 100_000
MILLION, HUNDREDTH = "million", "hundredth"
_MILLION_SIZES = {MILLION: 1_000_000, HUNDREDTH: 10_000}


@dataclass(frozen=True)
class Searched:
    """How long searches of one tenant took, and their recall.

    Attributes:
        vectors: number of vectors that the tenant has.
        p50: milliseconds, as the three that follow.
        p95: of searches by the platform.
        exact_p50: of searches that compare every vector.
        exact_p95: of the same.
        recall: 0..1, mean of the queries.
        worst: recall of the worst query.
    """

    vectors: int
    p50: float
    p95: float
    exact_p50: float
    exact_p95: float
    recall: float
    worst: float

    def rows(self, tenant_id: str) -> list[dict[str, Any]]:
        """One row for the platform's searches, and one for those that compare every vector."""
        found = {"recall@10": round(self.recall, 4), "worst": self.worst}
        none = dict.fromkeys(found)
        return [
            {"what": f"search, {tenant_id}", "p50 ms": round(self.p50, 2), "p95 ms": round(self.p95, 2)} | found,
            {
                "what": f"search, {tenant_id}, every vector compared",
                "p50 ms": round(self.exact_p50, 2),
                "p95 ms": round(self.exact_p95, 2),
            }
            | none,
        ]


def measure(
    connection: psycopg.Connection,
    tenant_id: str,
    kind: Kind,
    model: Model,
    *,
    vectors: np.ndarray,
    queries: np.ndarray,
    exact_every: int = 10,
) -> Searched:
    """Search with every query; one in ``exact_every`` is also answered by comparing every vector.

    Args:
        connection: of the platform's role.
        tenant_id: whose vectors are searched.
        kind: of the vectors.
        model: of the vectors.
        vectors: all of the tenant's.
        queries: vectors to search with.
        exact_every: both kinds of search alternate, so that other work on the machine slows both.
    """

    def exact(query: np.ndarray) -> list[tuple[str, float]]:
        with tenant_transaction(connection, tenant_id):
            return search.nearest_exact(connection, tenant_id, kind, model, query, k=NEAREST)

    def nearest(query: np.ndarray) -> list[tuple[str, float]]:
        return search.nearest(connection, tenant_id, kind, model, query, k=NEAREST)

    narrate(f"  search, {tenant_id}")
    last = _tenth_similarities(vectors, queries)
    for number, query in enumerate(queries[:_WARM]):
        nearest(query)
        if number % exact_every == 0:
            exact(query)
    milliseconds: dict[str, list[float]] = {"exact": [], "nearest": []}
    recalls = []
    for number, query in enumerate(queries):
        if number % exact_every == 0:
            _timed(milliseconds["exact"], exact, query)
        found = _timed(milliseconds["nearest"], nearest, query)
        # Vectors that are as near as the last of the nearest are as good.
        recalls.append(sum(bool(similarity >= last[number] - 1e-6) for _, similarity in found) / NEAREST)
    return Searched(
        len(vectors),
        *_percentiles(milliseconds["nearest"]),
        *_percentiles(milliseconds["exact"]),
        recall=sum(recalls) / len(recalls),
        worst=min(recalls),
    )


def _tenth_similarities(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """For each query the similarity of the last of its nearest vectors."""
    best = np.full((len(queries), NEAREST), -np.inf, np.float32)
    for begin in range(0, len(vectors), _BLOCK):
        similarities = queries @ vectors[begin : begin + _BLOCK].T
        best = np.partition(np.hstack([best, similarities]), -NEAREST, axis=1)[:, -NEAREST:]
    return best.min(axis=1)


def _timed(
    milliseconds: list[float], how: Callable[[np.ndarray], list[tuple[str, float]]], query: np.ndarray
) -> list[tuple[str, float]]:
    began = time.perf_counter()
    found = how(query)
    milliseconds.append((time.perf_counter() - began) * 1_000)
    return found


def _percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(milliseconds, n=20, method="inclusive")
    return cuts[9], cuts[18]


class Million:
    """A tenant with a million vectors, and one with a hundredth as many beside it.

    Attributes:
        searches: what was measured, by tenant.
        build_seconds: wall time of building both indexes.
        build_cpu_seconds: CPU of the server meanwhile.
        index_megabytes: size of the index of the large tenant.
    """

    tenants = tuple(_MILLION_SIZES)

    def __init__(self, database: BenchmarkDatabase, connection: psycopg.Connection, model: Model) -> None:
        self.searches: dict[str, Searched] = {}
        self.build_seconds = self.build_cpu_seconds = self.index_megabytes = 0.0
        self._database = database
        self._connection = connection
        self._model = model

    def measure(self, kind: Kind = "profile") -> None:
        """Load the vectors, build the indexes as the platform does after a load, and search."""
        vectors, queries = grouped(sum(_MILLION_SIZES.values()), self._model.dimensions, queries=QUERIES)
        narrate(f"{len(vectors):,} vectors")
        tenant_of = np.repeat(list(_MILLION_SIZES), list(_MILLION_SIZES.values()))
        with self._database.superuser() as connection:
            register_vector(connection)
            into = (
                "COPY embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
                " FROM STDIN (FORMAT BINARY)"
            )
            with connection.cursor() as cursor, cursor.copy(into) as copy:
                copy.set_types(["text", "text", "text", "int4", "vector", "bytea"])
                for number, (tenant_id, vector) in enumerate(zip(tenant_of, vectors, strict=True)):
                    copy.write_row((str(tenant_id), kind, f"{number:07}", self._model.model_id, vector, b""))
        self._database.settle(sql.Identifier("embeddings", "embedding"))
        narrate("  building")
        before, began = cpu_seconds(self._database.postmaster), time.perf_counter()
        built = indexes.finish_load(self._connection, kind, self._model.model_id)
        self.build_seconds = time.perf_counter() - began
        self.build_cpu_seconds = (cpu_seconds(self._database.postmaster) - before).server
        if built != len(_MILLION_SIZES):
            raise RuntimeError(f"{built} indexes were built")
        self._database.settle(sql.Identifier("embeddings", "embedding"))
        (largest,) = self._connection.execute(
            "SELECT max(pg_relation_size(format('embeddings.%%I', name)::regclass)) FROM unnest(%s::text[]) AS name",
            [indexes.names(self._connection, kind, self._model.model_id)],
        ).fetchone() or (0,)
        self.index_megabytes = largest / 1e6
        begin = 0
        for tenant_id, size in _MILLION_SIZES.items():
            self.searches[tenant_id] = measure(
                self._connection,
                tenant_id,
                kind,
                self._model,
                vectors=vectors[begin : begin + size],
                queries=queries,
                exact_every=20,
            )
            begin += size

    def rows(self) -> list[dict[str, Any]]:
        """Two rows per tenant."""
        return [row for tenant_id, found in self.searches.items() for row in found.rows(tenant_id)]

    def notes(self) -> list[str]:
        """Time, memory and size of the indexes."""
        (kilobytes,) = self._connection.execute(
            "SELECT embeddings.vector_index_kilobytes(1000, %s)", [self._model.dimensions]
        ).fetchone() or (0,)
        return [
            f"Both indexes were built in {self.build_seconds / 60:.1f} minutes, with {self.build_cpu_seconds / 60:.1f}"
            f" minutes of CPU and {kilobytes / 1024:.0f} MB of maintenance_work_mem. The large one has"
            f" {self.index_megabytes:.0f} MB.",
        ]

    def bars(self) -> list[Bar]:
        """The bars of the searches."""
        large = self.searches[MILLION]
        return [
            Bar(f"p95 of a search, {MILLION}, to exact ones", large.p95 / large.exact_p95, 0.05, at_least=False),
            *(
                bar
                for tenant_id, found in self.searches.items()
                for bar in (
                    Bar(f"recall@10, {tenant_id}", found.recall, 0.97),
                    Bar(f"recall@10 of the worst query, {tenant_id}", found.worst, 0.7),
                )
            ),
        ]
