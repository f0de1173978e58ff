from concurrent.futures import ThreadPoolExecutor

import pytest

from cdp_platform.customers import profiles, transactions
from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.load import Target
from cdp_platform.warehouse.migrate import current, head, migrate
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings


@pytest.fixture
def empty_database(server: Server):
    return postgres_settings(server, server.new_database("test_owner"))


def test_a_second_migration_does_nothing(empty_database):
    first, second = migrate(empty_database), migrate(empty_database)
    assert (first.before, first.after) == (None, head())
    assert (second.before, second.after) == (head(), head())


def test_two_migrations_at_once_wait_for_each_other(empty_database):
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(migrate, [empty_database] * 2))
    assert sorted(str(each.before) for each in done) == sorted(["None", head()])


def test_a_database_newer_than_the_platform_is_refused_and_left_alone(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        connection.execute("UPDATE ops.alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="does not know"):
        migrate(warehouse.settings)
    with warehouse.superuser() as connection:
        assert current(connection) == "9999"


def test_without_an_owner_the_error_names_the_variables(empty_database):
    with pytest.raises(ConfigurationError, match="PGSQL_OWNER_USER"):
        migrate(empty_database.model_copy(update={"owner_user": ""}))


def test_an_owner_who_may_not_make_roles_is_told_what_to_ask_for(server: Server, empty_database):
    with server.superuser() as connection:
        connection.execute("CREATE ROLE plain_owner LOGIN PASSWORD 'test-only'")
        connection.execute(f"ALTER DATABASE {empty_database.db_name} OWNER TO plain_owner")
    powerless = empty_database.model_copy(update={"owner_user": "plain_owner", "db_user": "nobody_yet"})
    with pytest.raises(ConfigurationError, match="CREATE ROLE nobody_yet LOGIN"):
        migrate(powerless)


def test_the_platform_role_owns_nothing_and_is_let_in(warehouse: Warehouse):
    with connect(warehouse.settings) as connection:
        assert current(connection) == head()


@pytest.mark.parametrize("target", [profiles.TARGET, transactions.TARGET], ids=lambda target: target.table)
def test_the_columns_of_a_mapping_are_those_of_its_table(warehouse: Warehouse, target: Target):
    """`synced_at` is the database's own; everything else comes from the mapping."""
    with warehouse.superuser() as connection:
        found = connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'synced_at' ORDER BY attnum",
            [target.name],
        ).fetchall()
        mapped = connection.execute(
            "SELECT n, format_type(t::regtype, NULL) FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS c (n, t, i)"
            " ORDER BY i",
            [[name for name, _ in target.columns], [kind for _, kind in target.columns]],
        ).fetchall()
    assert sorted(mapped) == sorted(found)
