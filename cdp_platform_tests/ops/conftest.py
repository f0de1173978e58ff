"""A room of the tests, with one table for each mechanism."""

import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform_tests.conftest import Warehouse


@pytest.fixture
def room(warehouse: Warehouse, app: psycopg.Connection) -> psycopg.Connection:
    """The schema ``loyalty``: tasks that are leased, spend, and letters as effects; tenants acme and other."""
    for tenant_id in ("acme", "other"):
        tenants.add(app, tenant_id, arango_database=tenant_id)
    with warehouse.superuser() as connection:
        connection.execute("CREATE SCHEMA loyalty; GRANT USAGE ON SCHEMA loyalty TO cdp_platform")
        for table, columns in (
            ("task", "task_id text, done boolean NOT NULL DEFAULT false"),
            ("letter", "letter_id text, words text, reason text, state ops.effect_state NOT NULL DEFAULT 'reserved'"),
        ):
            connection.execute(
                f"CREATE TABLE loyalty.{table} (tenant_id text, {columns}, PRIMARY KEY (tenant_id, {table}_id));"
                f" SELECT ops.isolate_tenants('loyalty.{table}')"
            )
        connection.execute("SELECT ops.make_claimable('loyalty.task'), ops.make_spend('loyalty')")
        connection.execute("SELECT ops.guard_effects('loyalty.letter')")
    return app
