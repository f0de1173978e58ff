import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from cdp_platform.customers import profiles, transactions
from cdp_platform.errors import BusyError, ConfigurationError
from cdp_platform.health.findings import examine
from cdp_platform.warehouse import versions
from cdp_platform.warehouse.connection import connect
from cdp_platform.warehouse.load import Target
from cdp_platform.warehouse.migrate import MIGRATIONS, current, head, migrate
from cdp_platform_tests.conftest import PASSWORD, Server, Warehouse, postgres_settings
from cdp_platform_tests.warehouse.test_isolation import any_row


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


def test_a_migration_that_waits_for_a_table_names_who_uses_it(
    server: Server, empty_database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cdp_platform.warehouse.migrate._LOCK_SECONDS", 3)
    monkeypatch.setattr("cdp_platform.warehouse.waits.SPEAK_AFTER_SECONDS", 1.0)
    before = ScriptDirectory(str(MIGRATIONS)).get_revision(head()).down_revision
    migrate(empty_database, revision=str(before))
    with server.superuser(empty_database.db_name) as connection:
        # The migration waits at its end, where it notes its revision.
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE ops.alembic_version IN SHARE MODE")
        with pytest.raises(BusyError, match=f"It is held by PostgreSQL process {connection.info.backend_pid}"):
            migrate(empty_database)


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
    """`synced_at` is the database's own, and the room `enrichment` writes some; all others come from the mapping."""
    with warehouse.superuser() as connection:
        found = connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND attname !~ '^(synced_at$|enriched_)' ORDER BY attnum",
            [target.name],
        ).fetchall()
        mapped = connection.execute(
            "SELECT n, format_type(t::regtype, NULL) FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS c (n, t, i)"
            " ORDER BY i",
            [[name for name, _ in target.columns], [kind for _, kind in target.columns]],
        ).fetchall()
    assert sorted(mapped) == sorted(found)


@pytest.mark.parametrize(
    ("server", "available", "installed", "advice"),
    [
        ((150012, "15.12"), None, None, "PostgreSQL is 15.12, and the warehouse needs 17 or later"),
        ((160004, "16.4"), "0.8.1", "0.8.1", "postgresql-17-pgvector"),
        ((170002, "17.2"), None, None, "PostgreSQL 17.2 has no pgvector, and .* postgresql-17-pgvector"),
        ((180001, "18.1"), "0.7.4", None, "pgvector is 0.7.4, .* postgresql-18-pgvector"),
        ((170002, "17.2"), "0.7.4", "0.5.1", "pgvector is 0.5.1, .* then run ALTER EXTENSION vector UPDATE"),
        ((170002, "17.2"), "0.8.0", "0.5.1", "pgvector is 0.5.1, .*: run ALTER EXTENSION vector UPDATE"),
        ((170000, "17.0"), "0.8.0", None, None),
        ((170000, "17beta1"), "0.10.0", "0.10.0", None),
        ((190000, "19.0"), None, "1.0", None),
    ],
)
def test_an_older_server_is_told_what_to_install(server, available, installed, advice):
    said = versions._compared(*server, available, installed)
    if advice is None:
        assert said is None
    else:
        assert said is not None
        assert re.search(advice, said)
        assert "\n" not in said


@pytest.mark.parametrize(("name", "value"), [("POSTGRES", 99), ("PGVECTOR", (99, 0))])
def test_versions_are_compared_before_the_first_statement(empty_database, server: Server, monkeypatch, name, value):
    """The real server is too old for a platform that needs a later one: nothing is made in the database."""
    monkeypatch.setattr(versions, name, value)
    with pytest.raises(ConfigurationError, match=r"needs 99.* Nothing was changed"):
        migrate(empty_database)
    with server.superuser(empty_database.db_name) as connection:
        assert connection.execute("SELECT to_regnamespace('ops')").fetchone() == (None,)


def test_health_compares_the_versions_too(warehouse: Warehouse, monkeypatch):
    monkeypatch.setattr(versions, "PGVECTOR", (99, 0))
    (finding,) = (each for each in examine() if each.system == "PostgreSQL (warehouse)")
    assert finding.state == "error"
    assert "needs 99.0 or later" in finding.advice


def test_the_extension_is_made_before_the_first_revision_where_the_owner_may(server: Server, empty_database):
    with server.superuser(empty_database.db_name) as connection:
        connection.execute("DROP EXTENSION vector")
        connection.execute(f"CREATE ROLE made_owner LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    try:
        migrate(empty_database.model_copy(update={"owner_user": "made_owner"}))
        with server.superuser(empty_database.db_name) as connection:
            assert connection.execute(
                "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
            )
    finally:
        with server.superuser() as connection:
            connection.execute("ALTER ROLE made_owner NOSUPERUSER NOLOGIN")


def test_an_owner_who_may_not_make_the_extension_is_told_who_can(server: Server, empty_database):
    with server.superuser(empty_database.db_name) as connection:
        connection.execute("DROP EXTENSION vector")
    with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
        migrate(empty_database)
    with server.superuser(empty_database.db_name) as connection:
        assert connection.execute("SELECT to_regnamespace('ops')").fetchone() == (None,)


def test_the_extension_may_be_in_another_schema(server: Server, empty_database):
    with server.superuser(empty_database.db_name) as connection:
        connection.execute("CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions")
        connection.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
    migrate(empty_database)
    with connect(empty_database) as connection:
        assert current(connection) == head()


def test_tables_of_rooms_of_ones_own_become_stores_of_persons(server: Server, empty_database):
    """By what their trigger named, or by the name of the column, as erasures found them before."""
    migrate(empty_database, revision="0016")
    with server.superuser(empty_database.db_name) as connection:
        connection.execute(
            """
            CREATE TABLE ops.point (tenant_id text, customer text, line_id text);
            CREATE TRIGGER keep_erased_out AFTER INSERT ON ops.point REFERENCING NEW TABLE AS new_rows
                FOR EACH STATEMENT
                EXECUTE FUNCTION ops.keep_erased_out('cdp_profile', 'customer', 'cdp_profile2conversion', 'line_id');
            CREATE TABLE ops.level (tenant_id text, profile_id text);
            ALTER TABLE ops.point OWNER TO test_owner;
            ALTER TABLE ops.level OWNER TO test_owner;
            INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', '', '');
            """
        )
        migrate(empty_database)
        connection.execute("INSERT INTO ops.point VALUES ('acme', 'nam', 'e1'), ('acme', 'mai', 'e2')")
        connection.execute("INSERT INTO ops.level VALUES ('acme', 'nam'), ('acme', 'mai')")
        lost = connection.execute("SELECT lost FROM customers.erase_person('acme', '{nam}')").fetchone()
        assert lost is not None
        assert (lost[0]["ops.point"], lost[0]["ops.level"]) == (1, 1)
        connection.execute("INSERT INTO ops.point VALUES ('acme', 'nam', 'e3')")
        connection.execute("INSERT INTO ops.level VALUES ('acme', 'nam')")
        assert connection.execute("SELECT line_id FROM ops.point").fetchall() == [("e2",)]
        assert connection.execute("SELECT profile_id FROM ops.level").fetchall() == [("mai",)]


def test_whoever_was_merged_with_an_erased_person_is_erased_by_the_migration(server: Server, empty_database):
    """As a warehouse is left by a version that looked at one direction of a merge only."""
    migrate(empty_database, revision="0012")
    with server.superuser(empty_database.db_name) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("INSERT INTO ops.tenant (tenant_id, name, arango_database) VALUES ('acme', '', '')")
        tables = ("customers.cdp_profiles", "customers.transactions", "customers.customer_metrics")
        for table in tables:
            for profile in ("alias", "other"):
                row: Any = any_row(connection, table)
                connection.execute(row, {"table": table, "tenant": "acme"})
                connection.execute(f"UPDATE {table} SET profile_id = '{profile}' WHERE profile_id = ''".encode())
                if table == "customers.transactions":
                    connection.execute("UPDATE customers.transactions SET line_id = profile_id WHERE line_id = ''")
        connection.execute("UPDATE customers.cdp_profiles SET root_profile_id = 'nam' WHERE profile_id = 'alias'")
        # Without those whom it is about: the migration that added the column could not see the rows that there were.
        connection.execute(
            "INSERT INTO ops.rejected_record (tenant_id, source, document_key, code, path, message, document)"
            """ VALUES ('acme', 'cdp_profile2conversion', 'e1', '', '', '', '{"_from": "cdp_profile/alias"}')"""
        )
        connection.execute("INSERT INTO ops.erased_document VALUES ('acme', 'cdp_profile', 'nam')")
        connection.execute("SET session_replication_role = origin")
        migrate(empty_database)
        for table in tables:
            found = connection.execute(f"SELECT profile_id FROM {table}".encode()).fetchall()
            assert found == [("other",)], table
        assert connection.execute("SELECT document_key FROM ops.rejected_record").fetchall() == []
        tombstones = "SELECT source, document_key, person FROM ops.erased_document ORDER BY 1, 2"
        assert connection.execute(tombstones).fetchall() == [
            ("cdp_profile", "alias", "nam"),
            ("cdp_profile", "nam", "nam"),
            ("cdp_profile2conversion", "alias", "nam"),
            ("cdp_profile2conversion", "e1", "nam"),
        ]
