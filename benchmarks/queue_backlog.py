"""Claims of the queue of texts while it is long, as after a person edited many texts one by one.

A million batches of one text each wait. A worker's claim of 500 takes them and ends, without reading a text; measured
is the transaction of the claim. Then texts come and go in rounds: as many are added as are claimed and ended. The table
is vacuumed where autovacuum would do it.

    python -m benchmarks.queue_backlog [--batches N] [--json]
"""

import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import psycopg

from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.embeddings import jobs
from cdp_platform.embeddings.jobs import Claim
from cdp_platform.warehouse.connection import connect, tenant_transaction

_TENANT, _KIND = "queue", "profile"
_TEXTS, _CLAIMS = 500, 40
_ROUNDS, _OF_ROUND = 20, 2_000
_VACUUM_EVERY = 5


def _fill(connection: psycopg.Connection, number: int) -> None:
    with tenant_transaction(connection, _TENANT):
        connection.execute(
            "INSERT INTO embeddings.text_batch (tenant_id, kind, entity_ids)"
            " SELECT %s, %s, ARRAY['profile-' || number] FROM generate_series(1, %s) AS number",
            [_TENANT, _KIND, number],
        )


def _claims(connection: psycopg.Connection, number: int) -> list[float]:
    """Claim and end so many times; returns the milliseconds of each claim."""
    found = []
    for _ in range(number):
        claim = Claim(_TENANT, _KIND, uuid4(), datetime.now(UTC).date(), longest=0)
        began = time.perf_counter()
        with tenant_transaction(connection, _TENANT):
            jobs.take(connection, claim, _TEXTS)
        found.append((time.perf_counter() - began) * 1e3)
        if claim.size != _TEXTS:
            raise RuntimeError(f"a claim has {claim.size} texts")
        with tenant_transaction(connection, _TENANT):
            claim.end(connection)
    return found


def _churn(database: BenchmarkDatabase, connection: psycopg.Connection) -> list[float]:
    """Add, claim and end texts in rounds; returns the milliseconds of each claim."""
    found = []
    for number in range(_ROUNDS):
        _fill(connection, _OF_ROUND)
        found += _claims(connection, _OF_ROUND // _TEXTS)
        if number % _VACUUM_EVERY == 0:
            with database.superuser() as superuser:
                superuser.execute("VACUUM ANALYZE embeddings.text_batch")
    return found


def _row(database: BenchmarkDatabase, name: str, milliseconds: list[float]) -> dict[str, object]:
    with database.superuser() as superuser:
        ((size,),) = superuser.execute("SELECT pg_total_relation_size('embeddings.text_batch')").fetchall()
    p50, p95 = map(float, np.percentile(milliseconds, [50, 95]))
    return {"queue": name, "claim p50 ms": round(p50, 1), "claim p95 ms": round(p95, 1), "MB": round(size / 1e6, 1)}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--batches", type=int, default=1_000_000)
    given = parser.parse_args()
    with benchmark_database({_TENANT: "none"}) as database, connect(database.settings) as connection:
        jobs.prepare(connection)
        connection.execute("SET synchronous_commit = off")
        narrate("  rounds")
        rounds = _churn(database, connection)
        rows = [_row(database, f"{_ROUNDS} rounds of {_OF_ROUND:,} texts that come and go", rounds)]
        narrate("  the backlog")
        _fill(connection, given.batches)
        unanalyzed = _claims(connection, _CLAIMS)
        rows.append(_row(database, f"{given.batches:,} batches of one text, not yet analyzed", unanalyzed))
        with database.superuser() as superuser:
            superuser.execute("VACUUM ANALYZE embeddings.text_batch")
        analyzed = _claims(connection, _CLAIMS)
        rows.append(_row(database, "the same, analyzed", analyzed))
    return finish(
        f"claims of {_TEXTS} texts of a long queue",
        rows,
        [
            Bar(
                "claim of 500 in a million batches of one text, ms",
                max(float(np.percentile(each, 95)) for each in (unanalyzed, analyzed)),
                50,
                at_least=False,
            ),
            Bar(
                "claims after rounds, to those at their beginning",
                float(np.median(rounds[-40:]) / np.median(rounds[:40])),
                2,
                at_least=False,
            ),
        ],
        contestants=[],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
