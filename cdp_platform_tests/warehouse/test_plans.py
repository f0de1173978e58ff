"""Look-ups use their indexes under row-level security: as the platform's role, with many tenants, of whom one is small.

PostgreSQL keeps an operator that is not leakproof (most of jsonb and arrays) from an index of a table with row-level
security, and says nothing: the query reads all rows of the tenant, or of all tenants. So the tables that grow with the
customers are filled and analyzed, and the plans of all statements in the rooms' ``sql/`` are looked at.
"""

import itertools
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.migrate import migrate
from cdp_platform.warehouse.statements import statement
from cdp_platform_tests.conftest import Server, postgres_settings
from cdp_platform_tests.rooms import ROOMS

SMALL, LARGE = "small", "large"
FILL = """
SET session_replication_role = replica;
INSERT INTO ops.tenant (tenant_id, name, arango_database) SELECT t, t, t FROM sizes;
INSERT INTO customers.cdp_profiles (
    tenant_id, profile_id, root_profile_id, primary_email, primary_phone, status, status_code, identities, visitor_ids,
    secondary_emails, secondary_phones, job_titles, data_labels, content_keywords, product_keywords, media_channels,
    behavioral_events, segments, campaigns, accounts, journey_maps, event_statistics, top_engaged_touchpoints,
    purchased_items, ext_data, document, document_hash)
SELECT t, 'p' || n, CASE WHEN n % 20 = 0 THEN 'p' || n - 1 END, n || '@example.com', '+849' || n, 'active', 1,
    '[]', '[]', CASE WHEN n % 50 = 0 THEN '["other@example.com"]'::jsonb ELSE '[]' END, '[]', '[]', '[]', '[]', '[]',
    '[]', '[]', '[{"id": "readers"}]', '[]', '[]', '[]', '{}', '[]', '[]', '{}', '{}', ''
FROM sizes, generate_series(1, size) AS n;
INSERT INTO customers.segment_member SELECT t, 's' || n % 20, 'p' || n FROM sizes, generate_series(1, size) AS n;
INSERT INTO customers.transactions (
    tenant_id, line_id, profile_id, amount, currency, segment_ids, asset_group_ids, occurred_at, document,
    document_hash)
SELECT t, 'l' || n, 'p' || n / 2, 1, 'USD', '[]', '[]', now() - n * interval '1 hour', '{}', ''
FROM sizes, generate_series(1, size) AS n;
INSERT INTO customers.customer_metrics (
    tenant_id, profile_id, currency, freq_90d, avg_order_value, monetary_90d, clv_est, experience_score, segment,
    segment_reason)
SELECT t, 'p' || n, 'USD', 1, 1, 1, 1, 1, 'target', '{}' FROM sizes, generate_series(1, size) AS n;
INSERT INTO ops.rejected_record (
    tenant_id, source, document_key, code, path, message, document, profile_ids, resolved_at)
SELECT t, 'cdp_profile', 'r' || n, 'c', '$', 'm', '{}', ARRAY['r' || n], CASE WHEN n % 10 > 0 THEN now() END
FROM sizes, generate_series(1, size) AS n;
INSERT INTO ops.erased_document (tenant_id, source, document_key, person)
SELECT t, 'cdp_profile', 'e' || n, 'e' || n FROM sizes, generate_series(1, size) AS n;
"""
FILLED = (
    *("customers.cdp_profiles", "customers.segment_member", "customers.transactions", "customers.customer_metrics"),
    *("ops.rejected_record", "ops.erased_document"),
)


DOCUMENT = {
    "source": "cdp_profile",
    "profile_source": "cdp_profile",
    "keys": ["e1"],
    "revisions": ["r"],
    "profiles": ["e1"],
}


@pytest.fixture(scope="module")
def many(server: Server) -> Iterator[psycopg.Connection]:
    """The platform's own connection to a warehouse with fifty tenants."""
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate(settings)
    with server.superuser(settings.db_name) as superuser:
        superuser.execute(
            "CREATE TEMPORARY TABLE sizes AS SELECT 't' || n AS t, 400 AS size FROM generate_series(1, 48) AS n;"
            "INSERT INTO sizes VALUES ('small', 50), ('large', 10000)"
        )
        superuser.execute(FILL.encode())
        for table in FILLED:
            superuser.execute(f"VACUUM ANALYZE {table}".encode())
    with connect(settings) as connection:
        yield connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def plan_of(connection: psycopg.Connection, query: Any, values: Any = None, *, options: str = "") -> list[dict]:
    prefix = sql.SQL(f"EXPLAIN (FORMAT JSON, VERBOSE{options}) ")  # ty: ignore[invalid-argument-type]
    body = query if isinstance(query, sql.Composable) else sql.SQL(query)
    ((plan,),) = connection.execute(prefix + body, values).fetchall()
    return list(nodes(plan[0]["Plan"]))


def read_whole(plan: list[dict]) -> set[str]:
    """The filled tables of which a plan reads the rows of all tenants."""
    scanned = {f"{node['Schema']}.{node['Relation Name']}" for node in plan if node["Node Type"] == "Seq Scan"}
    return scanned & set(FILLED)


def found_by(plan: list[dict], column: str) -> bool:
    """Whether an index finds rows by this column, and not by the tenant alone."""
    return any(re.search(rf"\b{column}\b", node.get("Index Cond", "")) for node in plan)


def statements_of(room: str) -> dict[str, str]:
    """The room's statements by name, with numbered parameters; without those that code completes, which have braces."""
    found = {}
    for path in sorted((files(f"cdp_platform.{room}") / "sql").iterdir(), key=lambda path: path.name):
        numbers: dict[str, int] = {}
        places = itertools.count(1)
        text = re.sub("%s", lambda _: f"%(place_{next(places)})s", path.read_text())  # noqa: B023
        text = re.sub(r"%\((\w+)\)s", lambda name: f"${numbers.setdefault(name[1], len(numbers) + 1)}", text)  # noqa: B023
        if "{" not in text:
            found[path.name] = text.replace("%%", "%")
    return found


@pytest.mark.parametrize("room", ["ops", *ROOMS])
def test_no_statement_reads_the_rows_of_all_tenants(many: psycopg.Connection, room: str):
    explained, reading = 0, {}
    for name, text in statements_of(room).items():
        try:
            with tenant_transaction(many, SMALL):
                plan = plan_of(many, text, options=", GENERIC_PLAN")
        except (psycopg.errors.SyntaxError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
            # Of a temporary table, no query at all, or with a parameter whose type only its value says.
            continue
        explained += 1
        if tables := read_whole(plan):
            reading[name] = tables
    assert reading == {}
    assert explained >= len(statements_of(room)) / 3, "this test looks at nothing any more"


def test_keys_are_looked_up_by_their_index(many: psycopg.Connection):
    lookups = [
        ("profile_id", statement("customers", "not_here"), {"asked": ["p1", "p2"]}),
        ("root_profile_id", statement("customers", "not_here"), {"asked": ["p1", "p2"]}),
        ("document_key", statement("ops", "leave_out"), DOCUMENT),
        ("segment_id", statement("embeddings", "segment_members"), {"model_id": 1, "segment_id": "s1"}),
        ("primary_email", statement("enrichment", "add_to_profiles"), {}),
    ]
    for column, query, values in lookups:
        with tenant_transaction(many, LARGE):
            plan = plan_of(many, query, {"tenant": LARGE, "tenant_id": LARGE, **values})
        assert found_by(plan, column), column


def test_further_addresses_are_read_of_those_who_have_any(many: psycopg.Connection):
    with tenant_transaction(many, SMALL):
        plan = plan_of(many, statement("enrichment", "add_to_profiles"), {"tenant": SMALL})
    assert "cdp_profiles_secondary_emails" in {node.get("Index Name") for node in plan}


def test_a_look_up_that_row_level_security_keeps_from_its_index_is_noticed(many: psycopg.Connection, server: Server):
    with server.superuser(many.info.dbname) as superuser:
        superuser.execute("CREATE INDEX by_segment ON customers.cdp_profiles USING gin (segments jsonb_path_ops)")
    query = """SELECT profile_id FROM customers.cdp_profiles WHERE segments @> '[{"id": "writers"}]'"""
    with tenant_transaction(many, "t1"):
        assert not found_by(plan_of(many, query), "segments")
    with server.superuser(many.info.dbname) as superuser:
        # Who is above row-level security gets the index.
        assert found_by(plan_of(superuser, query), "segments")
        superuser.execute("ALTER TABLE customers.transactions DROP CONSTRAINT transactions_pkey")
        superuser.execute(
            "DROP INDEX customers.by_segment, customers.transactions_profile, customers.transactions_time"
        )
    with tenant_transaction(many, SMALL):
        assert read_whole(plan_of(many, "SELECT FROM customers.transactions WHERE line_id = 'l1'")) == {
            "customers.transactions"
        }
