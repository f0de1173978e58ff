"""What a refresh of the customer metrics costs: all customers at once, one by one, and only those that were touched.

One by one is how the older ETL computed them: a loop over the profiles, for each an aggregate over its purchases and an
upsert. It runs on a tenth of the customers and purchases, in the older tables with their indexes, none of which is by
profile: each customer reads all purchases of the tenant. So that nobody has to wait for an hour, the loop ends after
some customers. A second loop reads the orders of our tables by their index, to tell what a set gains beside that.

    python -m benchmarks.metrics [--customers N] [--rounds N] [--json]
"""

import sys
import time
from statistics import median
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from benchmarks.database import BenchmarkDatabase, benchmark_database
from benchmarks.reporting import Bar, arguments, finish, narrate
from cdp_platform.warehouse.connection import connect, tenant_transaction

_TENANT = "metrics"
# What changes between two measurements.
_TABLES = ("transactions", "customer_metrics", "touched_customer")
_TOUCHED = (100, 1_000, 10_000)
# One by one takes a share of the customers: the rest would take as long again, for each of them.
_SHARE = 10
# After so many customers the older loop ends: the others would take just as long, for each of them.
_LOOPED = 500
# Five orders of two lines each, over 400 days.
_LINES = 10
_DAYS = 400

_FILL = """
INSERT INTO customers.cdp_profiles (
    tenant_id, profile_id, status, status_code, identities, visitor_ids, secondary_emails, secondary_phones, job_titles,
    data_labels, content_keywords, product_keywords, media_channels, behavioral_events, segments, campaigns, accounts,
    journey_maps, event_statistics, top_engaged_touchpoints, purchased_items, ext_data, document, document_hash)
SELECT {tenant}, md5('profile ' || n), 'active', 1, '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]', '[]',
       '[]', '[]', '[]', '{{}}', '[]', '[]', '{{}}', '{{}}', ''
FROM generate_series(1, {customers}) AS n;

INSERT INTO customers.transactions (
    tenant_id, line_id, order_id, profile_id, event_name, amount, currency, quantity, segment_ids, asset_group_ids,
    occurred_at, document, document_hash)
SELECT {tenant}, md5('line ' || n), 'ORD-' || n / 2, md5('profile ' || 1 + n / {lines}), 'purchase',
       (1 + n * 7 % 2000)::numeric / 4, 'USD', 1, '[]', '[]',
       now() - interval '1 day' - (n / 2 * 2 * 7919 % 1000003) / 1000003.0 * {days} * interval '1 day', '{{}}', ''
FROM generate_series(0::bigint, {customers} * {lines} - 1) AS n;
"""

# The table of the older ETL with its indexes, for a share of our lines; its query, as https://github.com/trieu/leo-bot
# has it, looks for the profile in a column that none of them begins with.
_OLDER = """
CREATE SCHEMA older;
CREATE TABLE older.transactional_context (
    tenant_id varchar(50) NOT NULL, user_id varchar(50) NOT NULL, txn_id varchar(50) NOT NULL,
    cdp_profile_id varchar(50), txn_type varchar(100) NOT NULL, txn_status varchar(50) DEFAULT 'completed',
    ordered_at timestamptz, amount numeric(18, 4), PRIMARY KEY (tenant_id, user_id, txn_id));
INSERT INTO older.transactional_context
SELECT tenant_id, profile_id, line_id, profile_id, event_name, 'completed', occurred_at, amount
FROM customers.transactions
WHERE profile_id IN (SELECT profile_id FROM customers.cdp_profiles ORDER BY profile_id LIMIT {customers});
CREATE INDEX ON older.transactional_context (tenant_id, user_id, ordered_at DESC);
CREATE INDEX ON older.transactional_context (txn_type, txn_status);
ANALYZE older.transactional_context;
GRANT USAGE ON SCHEMA older TO cdp_platform;
GRANT SELECT ON older.transactional_context TO cdp_platform;
"""
_OF_OLDER = sql.SQL(
    "older.transactional_context WHERE tenant_id = for_tenant AND cdp_profile_id = customer.profile_id"
    " AND txn_status = 'completed'"
)
_OF_ORDERS = sql.SQL("customers.orders WHERE tenant_id = for_tenant AND profile_id = customer.profile_id")

_LOOP = """
CREATE FUNCTION {name}(for_tenant text, customers int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    lifetime numeric := 3.0;
    cac numeric := 5.0;
    threshold numeric := 500;
    customer record;
    figures record;
    clv numeric;
    experience numeric;
    done int := 0;
BEGIN
    FOR customer IN
        SELECT profile_id FROM customers.cdp_profiles
        WHERE tenant_id = for_tenant AND closed_at IS NULL ORDER BY profile_id LIMIT customers
    LOOP
        SELECT max(ordered_at) AS last_purchase,
               count(*) FILTER (WHERE ordered_at >= now() - interval '90 days') AS freq_90d,
               coalesce(avg(amount) FILTER (WHERE amount > 0), 0) AS aov,
               coalesce(sum(amount) FILTER (
                   WHERE amount > 0 AND ordered_at >= now() - interval '90 days'), 0) AS monetary_90d
        INTO figures FROM {purchases};
        clv := round(figures.aov * figures.freq_90d * 365 / 90 * lifetime - cac, 2);
        experience := CASE WHEN figures.last_purchase IS NULL THEN -60
                           WHEN figures.last_purchase >= now() - interval '30 days' THEN 40
                           WHEN figures.last_purchase >= now() - interval '90 days' THEN 10
                           ELSE -10 END
                      + greatest(-30, least(30, figures.monetary_90d / greatest(figures.aov, 1)))
                      + least(30, 2 * figures.freq_90d);
        INSERT INTO customers.customer_metrics (
            tenant_id, profile_id, currency, last_purchase, freq_90d, avg_order_value, monetary_90d, clv_est,
            experience_score, segment, segment_reason)
        VALUES (
            for_tenant, customer.profile_id, 'USD', figures.last_purchase, figures.freq_90d, figures.aov,
            figures.monetary_90d, clv, experience,
            CASE WHEN clv >= threshold AND experience >= 30 THEN 'happy'
                 WHEN figures.last_purchase IS NULL THEN 'prospective'
                 WHEN figures.freq_90d = 0 THEN 'inactive'
                 WHEN clv >= 100 AND clv <= threshold - 1 THEN 'first_time'
                 ELSE 'target' END,
            jsonb_build_object('clv_calc', clv, 'freq_90d', figures.freq_90d, 'monetary_90d', figures.monetary_90d,
                               'last_purchase', figures.last_purchase))
        ON CONFLICT (tenant_id, profile_id, currency) DO UPDATE SET
            last_purchase = excluded.last_purchase, freq_90d = excluded.freq_90d,
            avg_order_value = excluded.avg_order_value, monetary_90d = excluded.monetary_90d,
            clv_est = excluded.clv_est, experience_score = excluded.experience_score, segment = excluded.segment,
            segment_reason = excluded.segment_reason, updated_at = now();
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;
GRANT EXECUTE ON FUNCTION {name} TO cdp_platform;
"""

ONE_BY_ONE = f"one by one, the older way (1/{_SHARE} of the data)"
BY_INDEX = "one by one, by our index"
ALL_NEW, ALL_AGAIN = "all at once, new", "all at once, again"


def _touched(customers: int) -> str:
    return f"touched only: {customers:,}"


def _measure(
    database: BenchmarkDatabase, connection: psycopg.Connection, customers: int, rounds: int
) -> dict[str, tuple[int, float]]:
    """By contestant: how many customers it computed, and the median of its seconds."""
    seconds: dict[str, list[float]] = {}
    computed: dict[str, int] = {}

    def run(name: str, query: LiteralString, *values: Any) -> None:
        narrate(f"  {name}")
        database.settle(*(sql.Identifier("customers", table) for table in _TABLES))
        began = time.perf_counter()
        with tenant_transaction(connection, _TENANT):
            row = connection.execute(query, [_TENANT, *values]).fetchone()
        seconds.setdefault(name, []).append(time.perf_counter() - began)
        computed[name] = row[0] if row else 0

    with database.superuser() as superuser:
        for number in range(1, rounds + 1):
            narrate(f"round {number} of {rounds}")
            superuser.execute("TRUNCATE customers.customer_metrics")
            run(ONE_BY_ONE, "SELECT refresh_one_by_one(%s, %s)", min(_LOOPED, customers // _SHARE))
            superuser.execute("TRUNCATE customers.customer_metrics")
            run(BY_INDEX, "SELECT refresh_by_index(%s, %s)", customers // _SHARE)
            superuser.execute("TRUNCATE customers.customer_metrics, customers.metrics_refresh")
            run(ALL_NEW, "SELECT customers.refresh_customer_metrics(%s)")
            run(ALL_AGAIN, "SELECT customers.refresh_customer_metrics(%s)")
            for touched in _TOUCHED:
                _buy(superuser, touched, number)
                run(_touched(touched), "SELECT customers.refresh_customer_metrics(%s, now(), true)")
    return {name: (computed[name], median(seconds[name])) for name in seconds}


def _buy(superuser: psycopg.Connection, customers: int, number: int) -> None:
    """Change a purchase of so many customers, others each round; a trigger notes them."""
    superuser.execute(
        "WITH chosen AS ("
        "  SELECT profile_id FROM customers.cdp_profiles ORDER BY hashtextextended(profile_id, %s) LIMIT %s),"
        " lines AS (SELECT min(line_id) AS line_id FROM customers.transactions JOIN chosen USING (profile_id)"
        "  GROUP BY profile_id)"
        " UPDATE customers.transactions AS t SET amount = amount + 1 FROM lines WHERE t.line_id = lines.line_id",
        [number, customers],
    )


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--customers", type=int, default=100_000, help=f"how many there are, of {_LINES} lines each")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    given = parser.parse_args()
    with benchmark_database({_TENANT: "none"}) as database:
        narrate("making customers and transactions")
        with database.superuser() as superuser:
            numbers = {"customers": given.customers, "lines": _LINES, "days": _DAYS}
            superuser.execute(sql.SQL(_FILL).format(tenant=_TENANT, **numbers))
            superuser.execute(sql.SQL(_OLDER).format(customers=given.customers // _SHARE))
            for name, purchases in (("refresh_one_by_one", _OF_OLDER), ("refresh_by_index", _OF_ORDERS)):
                superuser.execute(sql.SQL(_LOOP).format(name=sql.Identifier(name), purchases=purchases))
        database.settle(sql.Identifier("customers", "cdp_profiles"))
        with connect(database.settings) as connection:
            measured = _measure(database, connection, given.customers, given.rounds)
    seconds = {name: each for name, (_, each) in measured.items()}
    per_customer = {name: each / computed for name, (computed, each) in measured.items()}
    few, some, many = map(_touched, _TOUCHED)
    return finish(
        f"metrics of {given.customers:,} customers with {given.customers * _LINES:,} lines,"
        f" median of {given.rounds} rounds",
        [
            {
                "contestant": name,
                "customers": computed,
                "seconds": round(each, 4),
                "microseconds per customer": round(per_customer[name] * 1e6, 1),
                "times as fast as one by one": round(per_customer[ONE_BY_ONE] / per_customer[name], 2),
            }
            for name, (computed, each) in measured.items()
        ],
        [
            Bar("all at once, to one by one", per_customer[ONE_BY_ONE] / per_customer[ALL_NEW], 20),
            Bar(f"{few}, share of all again", seconds[few] / seconds[ALL_AGAIN], 1 / 20, at_least=False),
            Bar(f"{many}, to {_TOUCHED[1]:,}", seconds[many] / seconds[some], 15, at_least=False),
        ],
        as_json=given.as_json,
    )


if __name__ == "__main__":
    sys.exit(main())
