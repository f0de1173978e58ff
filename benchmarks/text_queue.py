"""The queue of texts and its worker, beside other queues in PostgreSQL and the models alone.

Claim and end is one connection that claims texts in a transaction and ends the claim in another, until the queue is
empty, as the other queues do with jobs that carry nothing (`queue_contestants`). Neither reads a text. The texts came
into the queue in batches of the size that is claimed, or one by one. With texts, a claim reads and hashes them and
looks at their vectors, as `jobs.claim` does, and the claim ends without vectors.

The worker is `worker.drain`, from its first connection to its last commit: texts without vectors get them, 64 per
request. Unchanged are texts that have their vectors and are told again. The model alone embeds the same requests. The
slow provider takes a millisecond a text, and a machine's time for nothing else.

All run in turns on one embedded PostgreSQL with row-level security. Figures are medians of the rounds. Rates are of
wall time; beside them is the CPU time of both sides, which other work on the machine blurs less.

    python -m benchmarks.text_queue [--texts N] [--rounds N] [--json]
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg

from benchmarks.cpu import CpuSeconds, cpu_seconds
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.queue_contestants import Bare, PgQueuerQueue, ProcrastinateQueue, own_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from benchmarks.vectors import Watched, fill
from cdp_platform.embeddings import jobs, models, worker
from cdp_platform.embeddings.jobs import Claim
from cdp_platform.embeddings.providers import Embedded, Provider, Purpose, opener
from cdp_platform.settings import EmbeddingSettings
from cdp_platform.warehouse.connection import connect, tenant_transaction

_TENANT, _KIND = "queue", "profile"
_REQUESTED = 64
# Jobs that no contestant reads, for each text that is read.
_UNREAD = 5
_BARE_SIZES = (100, 500, 1_000, 2_000, 5_000)
_SLOW_SECONDS, _SLOW_TEXTS = 0.001, 5_000

BARE, PGQUEUER, PROCRASTINATE = "bare loop", "pgqueuer", "procrastinate"
OURS, ONE_BY_ONE = "claim and end", "claim and end, one text a batch"
READ, UNCHANGED = "claim with texts and end", "worker, unchanged texts"
WORKER, MODEL, SLOW = "worker, local model", "the model alone", "worker, 1 ms a text"


@dataclass
class Slow:
    """A provider that takes a millisecond a text, and no CPU."""

    dimensions: int
    max_characters: int = 8_000
    seconds: float = 0.0

    def embed(self, texts: Sequence[str], *, purpose: Purpose) -> Embedded:
        """The same vector for each."""
        del purpose
        began = time.perf_counter()
        time.sleep(len(texts) * _SLOW_SECONDS)
        self.seconds += time.perf_counter() - began
        return Embedded(np.full((len(texts), self.dimensions), self.dimensions**-0.5, dtype=np.float32), 0)


@dataclass
class Measured:
    """One contestant's rounds.

    Attributes:
        jobs: number of jobs or texts of a round.
        seconds: wall time, by round.
        cpu: of both sides, by round.
    """

    jobs: int
    seconds: list[float]
    cpu: list[CpuSeconds]

    @property
    def per_second(self) -> float:
        """Jobs a second."""
        return self.jobs / median(self.seconds)

    def cpu_microseconds(self) -> tuple[float, float]:
        """CPU microseconds a job, of the client and of the server."""
        client, server = (median(vars(each)[side] for each in self.cpu) for side in ("client", "server"))
        return client / self.jobs * 1e6, server / self.jobs * 1e6


class Bench:
    """The contestants, in turns."""

    def __init__(self, database: BenchmarkDatabase, connection: psycopg.Connection, texts: int) -> None:
        self.measured: dict[str, Measured] = {}
        self.slow_seconds: list[tuple[float, float]] = []
        self._database = database
        self._connection = connection
        self._texts = texts
        settings = EmbeddingSettings(embedding_provider="local", embed_model_id="", embed_daily_budget=None)
        models.ensure_default(connection, settings, opener(settings))
        self._model = models.active(connection)
        self._local = opener(settings)(self._model)
        # Loads the model before the first round.
        self._local.embed(["warm"], purpose="document")
        fill(connection, _TENANT, range(texts))
        with tenant_transaction(connection, _TENANT):
            rows = connection.execute("SELECT profile_id FROM customers.cdp_profiles ORDER BY 1").fetchall()
        self._ids = [entity_id for (entity_id,) in rows]

    def run_round(self, bare: Bare, pgqueuer: PgQueuerQueue, procrastinate: ProcrastinateQueue) -> None:
        """Let each contestant run once."""
        many = _UNREAD * self._texts
        for waits in (True, False):
            bare.wait_for_disk(waits=waits)
            for size in _BARE_SIZES:
                bare.fill(many)
                self._measure(f"{BARE}, {size:,} a time{_how(waits)}", many, partial(bare.work, size))
        for durable in (True, False):
            pgqueuer.be_durable(durable=durable)
            kept = "" if durable else ", tables unlogged"
            for how, work in (("manager", pgqueuer.by_manager), ("queries", pgqueuer.by_queries)):
                pgqueuer.fill(self._texts)
                self._measure(f"{PGQUEUER}, its {how}, 100 a time{kept}", self._texts, partial(work, 100))
        # It takes milliseconds a job: beside so many its start does not count.
        few = self._texts // 4
        procrastinate.fill(few)
        self._measure(PROCRASTINATE, few, procrastinate.work)
        unread = [f"profile-{number:09}" for number in range(many)]
        for size in (100, 500):
            for waits in (True, False):
                self._begin_anew(size, unread)
                work = partial(self._claim_and_end, size, many, waits=waits)
                self._measure(f"{OURS}, {size} a time{_how(waits)}", many, work)
        self._begin_anew(1, unread[: self._texts])
        self._measure(ONE_BY_ONE, self._texts, partial(self._claim_and_end, 500, self._texts))
        self._begin_anew(500)
        self._measure(READ, self._texts, self._claim_with_texts)
        self._begin_anew(500)
        watched = Watched(self._local, self._local.dimensions, self._local.max_characters)
        self._measure(WORKER, self._texts, partial(self._drain, watched, embedded=self._texts))
        self._measure(MODEL, self._texts, partial(self._embed_alone, watched.batches))
        self._enqueue(500, self._ids)
        self._measure(UNCHANGED, self._texts, partial(self._drain, self._local, embedded=0))
        some = self._ids[:_SLOW_TEXTS]
        self._begin_anew(500, some)
        slow = Slow(self._model.dimensions)
        self._measure(SLOW, len(some), partial(self._drain, slow, embedded=len(some)))
        self.slow_seconds.append((self.measured[SLOW].seconds[-1], slow.seconds))

    def _measure(self, name: str, count: int, work: Callable[[], object]) -> None:
        narrate(f"  {name}")
        cpu, began = cpu_seconds(self._database.postmaster), time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        found = self.measured.setdefault(name, Measured(count, [], []))
        found.seconds.append(seconds)
        found.cpu.append(cpu_seconds(self._database.postmaster) - cpu)

    def _begin_anew(self, size: int, ids: Sequence[str] | None = None) -> None:
        """Let these texts, or all, wait in batches of this size, without any vector."""
        with self._database.superuser() as connection:
            connection.execute("TRUNCATE embeddings.embedding, embeddings.passage, embeddings.text_batch")
        self._enqueue(size, self._ids if ids is None else ids)

    def _enqueue(self, size: int, ids: Sequence[str]) -> None:
        with tenant_transaction(self._connection, _TENANT), self._connection.cursor() as cursor:
            cursor.executemany(
                "SELECT embeddings.enqueue(%s, %s, %s)",
                [(_TENANT, _KIND, ids[start : start + size]) for start in range(0, len(ids), size)],
            )
        with self._database.superuser() as connection:
            connection.execute("VACUUM ANALYZE embeddings.text_batch")
            connection.execute("VACUUM ANALYZE embeddings.embedding")
            connection.execute("CHECKPOINT")

    def _claim_and_end(self, size: int, jobs_waiting: int, *, waits: bool = True) -> None:
        ended = 0
        settings = self._database.settings
        with connect(settings) as claiming, connect(settings) as writing:
            for connection in (claiming, writing):
                jobs.prepare(connection)
            # The worker claims so too, and ends claims so where embedding a text again costs nothing.
            claiming.execute("SET synchronous_commit = off")
            if not waits:
                writing.execute("SET synchronous_commit = off")
            while True:
                claim = Claim(_TENANT, _KIND, uuid4(), datetime.now(UTC).date(), longest=0)
                with tenant_transaction(claiming, _TENANT):
                    jobs.take(claiming, claim, size)
                if not claim.size:
                    break
                with tenant_transaction(writing, _TENANT):
                    claim.end(writing)
                ended += claim.size
        _require(ended == jobs_waiting)

    def _claim_with_texts(self) -> None:
        ended = 0
        with connect(self._database.settings) as connection:
            jobs.prepare(connection)
            while True:
                with tenant_transaction(connection, _TENANT):
                    claim = jobs.claim(connection, _TENANT, _KIND, [self._model], at_most=500)
                if not claim.size:
                    break
                with tenant_transaction(connection, _TENANT):
                    claim.end(connection)
                ended += len(claim.texts)
        _require(ended == self._texts)

    def _drain(self, provider: Provider, *, embedded: int) -> None:
        outcome = worker.drain(
            partial(connect, self._database.settings),
            [_TENANT],
            _KIND,
            open_provider=lambda _model: provider,
            batch_size=_REQUESTED,
        )[_TENANT]
        _require((outcome.embedded, outcome.waiting, outcome.error) == (embedded, 0, None))

    def _embed_alone(self, batches: Sequence[Sequence[str]]) -> None:
        for batch in batches:
            self._local.embed(batch, purpose="document")

    # The results.

    def rows(self) -> list[dict[str, Any]]:
        """One row per contestant."""
        found = []
        for name, measured in self.measured.items():
            client, server = measured.cpu_microseconds()
            found.append(
                {
                    "contestant": name,
                    "jobs": measured.jobs,
                    "jobs/s": round(measured.per_second),
                    "client CPU us a job": round(client, 1),
                    "server CPU us a job": round(server, 1),
                }
            )
        return found

    def bars(self) -> list[Bar]:
        """The bars that the measurements must meet."""
        rate = {name: measured.per_second for name, measured in self.measured.items()}
        cpu = {name: sum(measured.cpu_microseconds()) for name, measured in self.measured.items()}
        contestant = max(rate[name] for name in rate if name.startswith((PGQUEUER, PROCRASTINATE)))
        bare = {
            waits: max(rate[f"{BARE}, {size:,} a time{_how(waits)}"] for size in _BARE_SIZES) for waits in (True, False)
        }
        slow = median(whole / alone for whole, alone in self.slow_seconds)
        return [
            Bar("claim and end at 100, to the better contestant", rate[f"{OURS}, 100 a time"] / contestant, 2),
            Bar("claim and end at 500, to the bare loop's best", rate[f"{OURS}, 500 a time"] / bare[True], 1.2),
            Bar(
                f"claim and end at 500, to the bare loop's best{_how(False)}",
                rate[f"{OURS}, 500 a time{_how(False)}"] / bare[False],
                1.2,
            ),
            Bar("unchanged texts, to claim with texts and end", rate[UNCHANGED] / rate[READ], 2),
            Bar("worker's CPU, to the local model's own", cpu[WORKER] / cpu[MODEL], 2.5, at_least=False),
            Bar("worker's time, to that of a provider of 1 ms a text", slow, 1.1, at_least=False),
        ]


def _how(waits: bool) -> str:
    return "" if waits else ", no commit awaited"


def _require(holds: bool) -> None:
    if not holds:
        raise RuntimeError("not all texts were done as expected")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with ExitStack() as stack:
        database = stack.enter_context(benchmark_database({_TENANT: "none"}))
        connection = stack.enter_context(connect(database.settings))
        addresses = [own_database(database, name) for name in ("bare", "pgqueuer", "procrastinate")]
        bare = Bare(stack.enter_context(psycopg.connect(addresses[0], autocommit=True)))
        pgqueuer, procrastinate = PgQueuerQueue(addresses[1]), ProcrastinateQueue(addresses[2])
        bench = Bench(database, connection, given.texts)
        for number in range(1, given.rounds + 1):
            narrate(f"round {number} of {given.rounds}")
            bench.run_round(bare, pgqueuer, procrastinate)
    return finish(
        f"queue and worker, {given.texts:,} texts, median of {given.rounds} rounds",
        bench.rows(),
        bench.bars(),
        contestants=["pgqueuer", "asyncpg", "procrastinate"],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
