import psycopg
import pytest

from cdp_platform.errors import ConfigurationError, UnavailableError, UnknownTenantError
from cdp_platform.warehouse import tenants, watermark
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform.warehouse.watermark import Watermark
from cdp_platform_tests.conftest import PASSWORD, Warehouse


def tenant_tables(warehouse: Warehouse) -> list[tuple[str, bool, bool]]:
    with warehouse.superuser() as connection:
        return connection.execute(
            """
            SELECT format('%I.%I', nspname, relname), relrowsecurity, relforcerowsecurity
            FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)' AND relname <> 'alembic_version'
            """
        ).fetchall()


@pytest.fixture
def two_tenants(app: psycopg.Connection) -> psycopg.Connection:
    for tenant_id in ("alpha", "beta"):
        tenants.add(app, tenant_id, name=tenant_id, arango_database=tenant_id, settings={})
        with tenant_transaction(app, tenant_id):
            watermark.write(
                app, tenant_id, "cdp_profile", Watermark("2026-01-01T00:00:00.000Z", tenant_id), database="x"
            )
    return app


def test_every_table_is_a_tenant_table_with_enabled_and_forced_row_level_security(warehouse: Warehouse):
    tables = tenant_tables(warehouse)
    assert len(tables) >= 7
    assert [name for name, enabled, forced in tables if not (enabled and forced)] == []


@pytest.mark.parametrize("context", [None, ""])
def test_without_a_tenant_every_table_is_empty(warehouse: Warehouse, two_tenants: psycopg.Connection, context):
    if context is not None:
        two_tenants.execute("SELECT set_config('app.tenant_id', %s, false)", [context])
    for table, _, _ in tenant_tables(warehouse):
        assert two_tenants.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_a_tenant_sees_its_own_rows_only(two_tenants: psycopg.Connection):
    with tenant_transaction(two_tenants, "alpha"):
        assert two_tenants.execute("SELECT tenant_id FROM ops.sync_watermark").fetchall() == [("alpha",)]
        assert two_tenants.execute("SELECT tenant_id FROM ops.tenant").fetchall() == [("alpha",)]


def test_a_tenant_can_neither_write_nor_change_the_rows_of_another(two_tenants: psycopg.Connection):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        tenant_transaction(two_tenants, "alpha"),
    ):
        watermark.write(two_tenants, "beta", "other", Watermark("2026-01-01T00:00:00.000Z", "x"), database="x")
    with tenant_transaction(two_tenants, "alpha"):
        assert two_tenants.execute("UPDATE ops.sync_watermark SET stamp = 'x' WHERE tenant_id = 'beta'").rowcount == 0


def test_the_context_ends_with_its_transaction(two_tenants: psycopg.Connection):
    with tenant_transaction(two_tenants, "alpha"):
        pass
    assert two_tenants.execute("SELECT count(*) FROM ops.sync_watermark").fetchone() == (0,)


@pytest.mark.parametrize("power", ["SUPERUSER", "BYPASSRLS"])
def test_a_role_that_policies_would_not_bind_is_refused(warehouse: Warehouse, power: str):
    with warehouse.superuser() as connection:
        connection.execute(f"DROP ROLE IF EXISTS mighty; CREATE ROLE mighty LOGIN {power} PASSWORD '{PASSWORD}'")
    with (
        pytest.raises(ConfigurationError, match="would not separate tenants"),
        connect(warehouse.settings.model_copy(update={"db_user": "mighty"})),
    ):
        pass


def test_the_owner_of_the_tables_is_refused(warehouse: Warehouse):
    with (
        pytest.raises(ConfigurationError, match="owner of tables"),
        connect(warehouse.settings.model_copy(update={"db_user": "test_owner"})),
    ):
        pass


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
    assert tenants.add(two_tenants, "alpha", name="alpha", arango_database="alpha", settings={}) is False
    assert tenants.get(two_tenants, "alpha").active


def test_an_unknown_tenant_is_an_error_that_says_where_to_look(app: psycopg.Connection):
    with pytest.raises(UnknownTenantError, match="cdp tenant list"):
        tenants.get(app, "nobody")
    with pytest.raises(UnknownTenantError, match="cdp tenant list"):
        tenants.retire(app, "nobody")


@pytest.mark.parametrize(
    ("tenant_id", "settings"),
    [("Upper", {}), ("", {}), ("a" * 64, {}), ("ok", {"phone_region": "XX"}), ("ok", {"x": 1})],
)
def test_an_unusable_tenant_is_refused_with_the_reason(app: psycopg.Connection, tenant_id: str, settings: dict):
    with pytest.raises(ConfigurationError, match=r"not usable|Settings of tenant"):
        tenants.add(app, tenant_id, name="x", arango_database="x", settings=settings)
