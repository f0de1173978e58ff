"""The benchmark of runs after a hundred changes, in a tenant of a million documents and in one of a tenth.

A run reads both collections, asks whether the tables are sound, and computes the metrics of whom that touched, as the
job does without Dagster. Both tenants are in one warehouse and take turns; a figure is the median of the rounds. The
rows are made by SQL, and the source answers at once.

    python -m benchmarks.incremental [--documents N] [--rounds N] [--json]
"""

import os
import sys
import time
from collections.abc import Callable
from statistics import median

import psycopg
from psycopg import sql

from benchmarks.cpu import CpuSeconds, cpu_seconds
from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.documents import CONVERSIONS, PROFILES
from benchmarks.reporting import Bar, arguments, finish, narrate
from benchmarks.stub import CHANGES, database_of, running_stub
from cdp_platform import settings
from cdp_platform.customers import metrics, profiles, transactions
from cdp_platform.customers.mappers import mapper_of
from cdp_platform.customers.soundness import unsound
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import sync
from cdp_platform.ops import tenants
from cdp_platform.resources.arango import open_database
from cdp_platform.warehouse.connection import connect

_SMALL, _LARGE = "small", "large"
_RATIO = 10
_BAR = 1.2
_TABLES = ("cdp_profiles", "transactions", "customer_metrics", "segment_member")

# Rows as a first load leaves them, without texts: each profile has two segments, and one purchase of a line in the last
# 400 days.
_FILL = """
INSERT INTO customers.cdp_profiles (
    tenant_id, profile_id, status, status_code, identities, visitor_ids, secondary_emails, secondary_phones, job_titles,
    data_labels, content_keywords, product_keywords, media_channels, behavioral_events, segments, campaigns, accounts,
    journey_maps, event_statistics, top_engaged_touchpoints, purchased_items, ext_data, document, document_hash)
SELECT {tenant}, md5('profile ' || n), 'active', 1, jsonb_build_array('email:' || n || '@example.com'),
       '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', jsonb_build_array(
           jsonb_build_object('id', 's' || n % 7), jsonb_build_object('id', 't' || n % 11)),
       '[]', '[]', '[]', '{{}}', '[]', '[]', '{{}}', jsonb_build_object('text', repeat(md5(n::text), 20)), ''
FROM generate_series(1, {documents}) AS n;
INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
SELECT tenant_id, s.segment ->> 'id', profile_id
FROM customers.cdp_profiles, jsonb_array_elements(segments) AS s (segment) WHERE tenant_id = {tenant};
INSERT INTO customers.transactions (
    tenant_id, line_id, order_id, profile_id, event_name, amount, currency, quantity, segment_ids, asset_group_ids,
    occurred_at, document, document_hash)
SELECT {tenant}, md5('line ' || n), 'ORD-' || n, md5('profile ' || n), 'purchase', (1 + n * 7 % 2000)::numeric / 4,
       'USD', 1, '[]', '[]', now() - interval '1 day' - (n * 7919 % 1000003) / 1000003.0 * interval '400 days',
       '{{}}', ''
FROM generate_series(1::bigint, {documents}) AS n;
INSERT INTO ops.sync_watermark (tenant_id, source, database, stamp, document_key, mapper_version, last_success_at)
SELECT {tenant}, source, {database}, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'k', version,
       now()
FROM unnest({sources}::text[], {versions}::int[]) AS s (source, version);
"""


def _fill(connection: psycopg.Connection, tenant_id: str, documents: int) -> None:
    """Fill a tenant's tables as a superuser who sets off no triggers."""
    narrate(f"{tenant_id}: {documents:,} profiles and as many conversions")
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        sql.SQL(_FILL).format(
            tenant=sql.Literal(tenant_id),
            documents=sql.Literal(documents),
            database=sql.Literal(database_of(documents)),
            sources=sql.Literal([PROFILES, CONVERSIONS]),
            versions=sql.Literal([profiles.VERSION, transactions.VERSION]),
        )
    )


def _run(connection: psycopg.Connection, tenant_id: str) -> None:
    """One incremental run; fails unless it read just what changed."""
    tenant = tenants.get(connection, tenant_id)
    with open_database(settings.arango(), tenant.arango_database) as database:
        source = TenantSource(database, tenant)
        for collection in (PROFILES, CONVERSIONS):
            result = sync(connection, source, tenant, mapper_of(collection, tenant, source))
            if result.full or result.new + result.changed != CHANGES:
                raise AssertionError(f"{tenant_id}: not a run of {CHANGES} changes: {result}")
    if flaw := unsound(connection, tenant):
        raise AssertionError(flaw)
    computed = metrics.refresh(connection, tenant_id).computed
    if not 0 < computed < 10 * CHANGES:
        raise AssertionError(f"{tenant_id}: metrics of {computed} customers were computed")


def _measured(database: BenchmarkDatabase, work: Callable[[], None]) -> tuple[float, CpuSeconds]:
    before, began = cpu_seconds(database.postmaster), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return seconds, cpu_seconds(database.postmaster) - before


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000, help="how many documents the large tenant has")
    parser.add_argument("--rounds", type=int, default=15, help="how often each tenant runs")
    given = parser.parse_args()
    sizes = {_SMALL: given.documents // _RATIO, _LARGE: given.documents}
    with (
        running_stub(CHANGES) as url,
        benchmark_database({tenant: database_of(size) for tenant, size in sizes.items()}) as database,
    ):
        os.environ |= database.environment() | {"ARANGO_HOST": url}
        settings.forget()
        with database.superuser() as connection:
            for tenant_id, size in sizes.items():
                _fill(connection, tenant_id, size)
        tables = [sql.Identifier("customers", name) for name in _TABLES]
        database.settle(*tables)
        with connect(settings.postgres()) as connection:
            for tenant_id in sizes:
                narrate(f"{tenant_id}: all metrics")
                metrics.refresh(connection, tenant_id, full=True)
            database.settle(*tables)
            for tenant_id in sizes:
                # The first run adds the documents that later ones change, and counts the rows once.
                _run(connection, tenant_id)
            figures: dict[str, list[tuple[float, CpuSeconds]]] = {tenant_id: [] for tenant_id in sizes}
            for number in range(1, given.rounds + 1):
                narrate(f"round {number} of {given.rounds}")
                for tenant_id in sizes:
                    figures[tenant_id].append(
                        _measured(database, lambda tenant_id=tenant_id: _run(connection, tenant_id))
                    )
    rows = [
        {
            "documents": size,
            "milliseconds": round(median(seconds for seconds, _ in figures[tenant_id]) * 1000, 1),
            "client CPU ms": round(median(cpu.client for _, cpu in figures[tenant_id]) * 1000, 1),
            "server CPU ms": round(median(cpu.server for _, cpu in figures[tenant_id]) * 1000, 1),
        }
        for tenant_id, size in sizes.items()
    ]
    small, large = (median(seconds for seconds, _ in figures[tenant_id]) for tenant_id in sizes)
    return finish(
        f"a run of {CHANGES} changes in {given.documents:,} documents and in a tenth, median of {given.rounds} rounds",
        rows,
        [Bar(f"{CHANGES} changes, ten times the documents", large / small, _BAR, at_least=False)],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
