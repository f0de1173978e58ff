"""NaN and infinity pass no bound: to PostgreSQL both are above every number."""

import psycopg
import pytest

from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import tenant_transaction


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
@pytest.mark.parametrize("column", ["expected_lifetime_years", "cac", "clv_happy_threshold"])
def test_a_tenant_cannot_value_customers_by_what_is_no_number(app: psycopg.Connection, column: str, value: str):
    tenants.add(app, "acme", arango_database="acme")
    with pytest.raises(psycopg.errors.CheckViolation), tenant_transaction(app, "acme"):
        app.execute(
            f"INSERT INTO customers.tenant_metrics_config (tenant_id, {column}) VALUES ('acme', %s)".encode(), [value]
        )


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_model_has_no_price_that_is_no_number(app: psycopg.Connection, value: str):
    with pytest.raises(psycopg.errors.CheckViolation):
        app.execute(
            "INSERT INTO embeddings.embedding_model"
            " (provider, name, dimensions, max_characters, price_per_million_tokens, state)"
            " VALUES ('local', 'm', 8, 100, %s, 'building')",
            [value],
        )
