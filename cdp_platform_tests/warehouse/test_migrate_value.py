"""What the migration to exact metrics does with the rows of a running installation."""

from cdp_platform.warehouse import migrate
from cdp_platform_tests.conftest import Server, postgres_settings


def test_amounts_that_came_from_a_default_are_dropped_for_all_currencies_and_metrics_are_computed_anew(server: Server):
    settings = postgres_settings(server, server.new_database("test_owner"))
    migrate.migrate(settings, revision="0010")
    with server.superuser(settings.db_name) as superuser:
        superuser.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', 'acme', 'acme')")
        superuser.execute(
            "INSERT INTO customers.tenant_metrics_config (tenant_id, currency, expected_lifetime_years, cac)"
            " VALUES ('acme', '*', 2, 5), ('acme', 'USD', 2, 60), ('acme', 'EUR', 3, 5)"
        )
        superuser.execute("INSERT INTO customers.metrics_refresh VALUES ('acme', now())")
    # As the owner, whom the policies bind, and who sees no row of any tenant.
    migrate.migrate(settings)
    with server.superuser(settings.db_name) as superuser:
        found = superuser.execute(
            "SELECT currency, expected_lifetime_years, cac, clv_happy_threshold FROM customers.tenant_metrics_config"
            " ORDER BY 1"
        ).fetchall()
        assert found == [("*", 2, None, None), ("EUR", 3, 5, 500), ("USD", 2, 60, 500)]
        assert superuser.execute("SELECT count(*) FROM customers.metrics_refresh").fetchone() == (0,)
        forced = superuser.execute(
            "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname IN"
            " ('tenant_metrics_config', 'metrics_refresh', 'customer_value', 'value_model')"
        ).fetchone()
        assert forced == (True,)
