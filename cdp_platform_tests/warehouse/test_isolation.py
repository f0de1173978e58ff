from collections.abc import Mapping
from importlib import import_module
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from cdp_platform.errors import UnavailableError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Warehouse
from cdp_platform_tests.rooms import ROOMS

# Values that constraints of a table ask for, as the room's `persons.py` lists them.
ALLOWED: dict[str, dict[str, Any]] = {
    table: values
    for room in ROOMS
    for table, values in getattr(import_module(f"cdp_platform_tests.{room}.persons"), "ALLOWED", {}).items()
}


def tenant_tables(warehouse: Warehouse) -> list[tuple[str, bool, bool]]:
    with warehouse.superuser() as connection:
        return connection.execute(
            """
            SELECT format('%I.%I', nspname, relname), relrowsecurity, relforcerowsecurity
            FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)'
              -- These belong to the platform and say nothing of any tenant.
              AND relname NOT IN ('alembic_version', 'embedding_model', 'person_store', 'run_lease', 'gate',
                                  'gate_window', 'gate_allowance', 'effect_move', 'account_reading',
                                  -- These may name a tenant, because people are told of all tenants in one message.
                                  'alert', 'alert_message')
            """
        ).fetchall()


@pytest.fixture
def two_tenants(app: psycopg.Connection, warehouse: Warehouse) -> psycopg.Connection:
    """Two tenants with a row in every table there is."""
    for tenant_id in ("alpha", "beta"):
        tenants.add(app, tenant_id, arango_database=tenant_id)
    with warehouse.superuser() as connection:
        # Without triggers: one table's row must not add or take another's.
        connection.execute("SET session_replication_role = replica")
        for table, _, _ in tenant_tables(warehouse):
            for tenant_id in ("alpha", "beta"):
                connection.execute(any_row(connection, table), {"table": table, "tenant": tenant_id})
    return app


# A row of any table: what it demands, by type, and the values that its constraints are after.
_ANY_ROW: Any = """
INSERT INTO {table} ({columns})
SELECT {columns} FROM jsonb_populate_record(NULL::{table}, (
    SELECT jsonb_object_agg(attname, CASE
        WHEN attname = 'tenant_id' THEN to_jsonb(%(tenant)s::text)
        WHEN attname = 'status' THEN to_jsonb('active'::text)
        WHEN attname = 'kind' THEN to_jsonb('profile'::text)
        WHEN format_type(atttypid, NULL) = 'vector' THEN to_jsonb('[1]'::text)
        WHEN attname = 'currency' THEN to_jsonb('USD'::text)
        WHEN attname = 'event_type' THEN to_jsonb('click'::text)
        WHEN attname = 'state' AND %(table)s ~ 'sheet_export' THEN to_jsonb('reserved'::text)
        WHEN format_type(atttypid, NULL) = 'uuid' THEN to_jsonb(gen_random_uuid())
        WHEN format_type(atttypid, NULL) = 'bytea' THEN to_jsonb('\\x' || repeat('00', 32))
        WHEN attname = 'segment' THEN to_jsonb('happy'::text)
        WHEN format_type(atttypid, NULL) IN ('json', 'jsonb', 'text[]', 'bytea[]') THEN '[]'::jsonb
        WHEN format_type(atttypid, NULL) IN ('timestamp with time zone', 'date') THEN to_jsonb(now())
        WHEN format_type(atttypid, NULL) IN ('numeric', 'integer', 'bigint', 'real') THEN to_jsonb(1)
        WHEN format_type(atttypid, NULL) = 'boolean' THEN to_jsonb(false)
        ELSE to_jsonb(''::text) END)
    FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND attnotnull AND attgenerated = ''
) || {given}) ON CONFLICT DO NOTHING
"""


def any_row(connection: psycopg.Connection, table: str, given: Mapping[str, Any] | None = None) -> Any:
    """The statement that inserts a row with the given values, without the columns that PostgreSQL computes."""
    columns = connection.execute(
        """
        SELECT quote_ident(attname) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND attnotnull AND attgenerated = '' AND attidentity = ''
        """,
        [table],
    ).fetchall()
    given = {**ALLOWED.get(table, {}), **(given or {})}
    names = dict.fromkeys([*(name.strip('"') for (name,) in columns), *given])
    literal = sql.Literal(Jsonb(given)).as_string(connection)
    return _ANY_ROW.format(table=table, columns=", ".join(f'"{name}"' for name in names), given=literal)


def leaks(connection: psycopg.Connection, tables: list[str]) -> set[tuple[str, str]]:
    """Where tenants are not apart: (table, how)."""
    found = set()
    for table in tables:
        if connection.execute(f"SELECT count(*) FROM {table}").fetchone() != (0,):
            found.add((table, "read without a tenant"))
        with tenant_transaction(connection, "alpha"):
            if connection.execute(f"SELECT DISTINCT tenant_id FROM {table}").fetchall() != [("alpha",)]:
                found.add((table, "read of another"))
        probes: dict[str, Any] = {
            "change of another": f"UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = 'beta'",
            "write for another": any_row(connection, table).replace("ON CONFLICT DO NOTHING", ""),
        }
        for how, statement in probes.items():
            try:
                with tenant_transaction(connection, "alpha"):
                    done = connection.execute(statement, {"table": table, "tenant": "beta"})
                if done.rowcount:
                    found.add((table, how))
            except psycopg.errors.InsufficientPrivilege:
                pass
            except psycopg.errors.IntegrityError:
                # Only another constraint was in the way.
                found.add((table, how))
    return found


def test_every_table_is_a_tenant_table_with_enabled_and_forced_row_level_security(warehouse: Warehouse):
    tables = tenant_tables(warehouse)
    assert len(tables) >= 12
    assert [name for name, enabled, forced in tables if not (enabled and forced)] == []


def test_every_table_keeps_tenants_apart(warehouse: Warehouse, two_tenants: psycopg.Connection):
    tables = [name for name, _, _ in tenant_tables(warehouse)]
    with warehouse.superuser() as connection:
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,), table
    assert leaks(two_tenants, tables) == set()


@pytest.mark.parametrize(
    ("mutation", "how"),
    [
        ("ALTER POLICY tenant_isolation ON {} USING (true)", {"read of another", "read without a tenant"}),
        ("ALTER POLICY tenant_isolation ON {} WITH CHECK (true)", {"write for another"}),
        ("ALTER TABLE {} DISABLE ROW LEVEL SECURITY", {"read of another", "write for another", "change of another"}),
    ],
)
def test_a_policy_that_is_loosened_is_noticed_on_every_table(warehouse: Warehouse, two_tenants, mutation, how):
    tables = [name for name, _, _ in tenant_tables(warehouse)]
    for table in tables:
        with warehouse.superuser() as connection:
            # What a trigger writes elsewhere is under that table's policy and would hide the mutation of this one.
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            connection.execute(mutation.format(table))
        assert {(table, each) for each in how} <= leaks(two_tenants, [table]), table


def test_an_empty_tenant_is_no_tenant(warehouse: Warehouse, two_tenants: psycopg.Connection):
    two_tenants.execute("SELECT set_config('app.tenant_id', '', false)")
    for table, _, _ in tenant_tables(warehouse):
        assert two_tenants.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_a_transaction_inside_that_of_another_tenant_is_refused(two_tenants: psycopg.Connection):
    with (
        pytest.raises(RuntimeError, match="acts for tenant alpha"),
        tenant_transaction(two_tenants, "alpha"),
        tenant_transaction(two_tenants, "beta"),
    ):
        pass


def test_the_context_ends_with_its_transaction(two_tenants: psycopg.Connection):
    with tenant_transaction(two_tenants, "alpha"):
        pass
    assert two_tenants.execute("SELECT count(*) FROM ops.sync_watermark").fetchone() == (0,)


def test_a_wrong_password_is_one_line_that_names_the_variables(warehouse: Warehouse):
    with (
        pytest.raises(UnavailableError, match="PGSQL_ variables") as caught,
        connect(
            warehouse.settings.model_copy(update={"db_password": warehouse.settings.owner_password.__class__("x")})
        ),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_the_registry_lists_everybody_and_nothing_else_of_them(two_tenants: psycopg.Connection):
    assert [tenant.tenant_id for tenant in tenants.registered(two_tenants)] == ["alpha", "beta"]


def test_a_retired_tenant_keeps_its_rows_and_comes_back(two_tenants: psycopg.Connection):
    tenants.retire(two_tenants, "alpha")
    assert not tenants.get(two_tenants, "alpha").active
    assert tenants.add(two_tenants, "alpha") is False
    assert tenants.get(two_tenants, "alpha").active
