"""The platform's role has the rights that it needs and no others; each further one is refused by name."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from cdp_platform.errors import ConfigurationError
from cdp_platform.warehouse.connection import connect
from cdp_platform_tests.conftest import PASSWORD, Warehouse

# One role per test session and kind: roles belong to the whole server.
ROLE, GROUP, INNER = "rights_app", "rights_group", "rights_inner"


@pytest.fixture
def role(warehouse: Warehouse) -> Iterator[Callable[..., object]]:
    """A role that may run the platform; returns what runs SQL as an administrator."""
    with warehouse.superuser() as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE {GROUP}; CREATE ROLE {INNER}")
        connection.execute(f"GRANT cdp_platform TO {ROLE}")
    try:
        with warehouse.superuser() as connection:
            yield connection.execute
    finally:
        with warehouse.superuser() as connection:
            # A session that has just been closed still drops its temporary tables: the tables of ROLE change meanwhile.
            connection.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE usename = %s", [ROLE]
            )
            for each in (ROLE, GROUP, INNER):
                connection.execute(f"REASSIGN OWNED BY {each} TO postgres; DROP OWNED BY {each}; DROP ROLE {each}")


def enter(warehouse: Warehouse) -> None:
    with connect(warehouse.settings.model_copy(update={"db_user": ROLE})) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (ROLE,)


def refused(warehouse: Warehouse) -> str:
    with pytest.raises(ConfigurationError, match="would not separate tenants") as caught:
        enter(warehouse)
    message = str(caught.value)
    assert f"PGSQL_DB_USER={ROLE}" in message
    assert "\n" not in message
    return message


def test_a_role_with_the_rights_of_the_group_is_let_in(warehouse: Warehouse, role):
    enter(warehouse)


@pytest.mark.parametrize(
    ("power", "words"),
    [
        ("SUPERUSER", "it is a superuser"),
        ("BYPASSRLS", "it is BYPASSRLS"),
        ("CREATEROLE", "it is CREATEROLE"),
        ("CREATEDB", "it is CREATEDB"),
        ("REPLICATION", "it is REPLICATION"),
    ],
)
def test_an_attribute_is_refused_of_the_role_and_of_every_role_that_it_may_become(
    warehouse: Warehouse, role, power: str, words: str
):
    role(f"ALTER ROLE {ROLE} {power}")
    assert f"{words} (ALTER ROLE {ROLE} NO{power})" in refused(warehouse)
    role(f"ALTER ROLE {ROLE} NO{power}")
    enter(warehouse)
    role(f"ALTER ROLE {INNER} {power}; GRANT {INNER} TO {GROUP}; GRANT {GROUP} TO {ROLE}")
    assert f"it may become {INNER}, which {words[3:]} (REVOKE {INNER} FROM {GROUP})" in refused(warehouse)
    role(f"REVOKE {INNER} FROM {GROUP}")
    enter(warehouse)


@pytest.mark.parametrize(
    "predefined",
    [
        "pg_read_all_data",
        "pg_write_all_data",
        "pg_execute_server_program",
        "pg_read_server_files",
        "pg_write_server_files",
        "pg_maintain",
        "pg_signal_backend",
        "pg_create_subscription",
        "pg_checkpoint",
    ],
)
def test_a_membership_is_refused_whatever_its_options_and_however_indirect(warehouse: Warehouse, role, predefined: str):
    role(f"GRANT {INNER} TO {GROUP}; GRANT {GROUP} TO {ROLE}")
    for options in (
        "INHERIT TRUE, SET TRUE",
        "INHERIT FALSE, SET TRUE",
        "INHERIT TRUE, SET FALSE",
        "INHERIT FALSE, SET FALSE, ADMIN TRUE",
    ):
        for member in (ROLE, INNER):
            enter(warehouse)
            role(f"GRANT {predefined} TO {member} WITH {options}")
            assert f"it is a member of {predefined} (REVOKE {predefined} FROM {member})" in refused(warehouse)
            role(f"REVOKE {predefined} FROM {member}")


def test_a_member_of_the_owner_is_refused(warehouse: Warehouse, role):
    role(f"GRANT test_owner TO {ROLE} WITH INHERIT FALSE, SET FALSE, ADMIN TRUE")
    message = refused(warehouse)
    assert "it may become test_owner, which owns database" in message
    assert f"(REVOKE test_owner FROM {ROLE})" in message
    role(f"REVOKE test_owner FROM {ROLE}")


def test_roles_of_monitoring_are_let_in(warehouse: Warehouse, role):
    role(f"GRANT pg_monitor TO {ROLE}")
    enter(warehouse)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ALTER TABLE ops.gate OWNER TO {}", "it owns table ops.gate"),
        ("ALTER VIEW customers.orders OWNER TO {}", "it owns view customers.orders"),
        ("ALTER SEQUENCE embeddings.arrival OWNER TO {}", "it owns sequence embeddings.arrival"),
        ("ALTER FUNCTION ops.current_tenant OWNER TO {}", "it owns function ops.current_tenant"),
        ("CREATE SCHEMA AUTHORIZATION {}", f"it owns schema {ROLE}"),
        ("CREATE TYPE public.mood AS ENUM ('calm'); ALTER TYPE public.mood OWNER TO {}", "it owns type public.mood"),
        ("CREATE DOMAIN public.word AS text; ALTER DOMAIN public.word OWNER TO {}", "it owns type public.word"),
    ],
)
def test_an_owner_is_refused_directly_and_by_membership(warehouse: Warehouse, role, given: str, words: str):
    role(given.format(ROLE))
    assert f"{words} (REASSIGN OWNED BY {ROLE} TO test_owner)" in refused(warehouse)
    role(f"REASSIGN OWNED BY {ROLE} TO {GROUP}")
    enter(warehouse)
    role(f"GRANT {GROUP} TO {ROLE}")
    assert f"it may become {GROUP}, which {words[3:]} (REVOKE {GROUP} FROM {ROLE})" in refused(warehouse)


def test_the_owner_of_the_database_is_refused(warehouse: Warehouse, role):
    role(f"ALTER DATABASE {warehouse.settings.db_name} OWNER TO {ROLE}")
    assert f"it owns database {warehouse.settings.db_name} (REASSIGN" in refused(warehouse)
    role(f"ALTER DATABASE {warehouse.settings.db_name} OWNER TO test_owner")
    enter(warehouse)


@pytest.mark.parametrize(
    ("right", "words", "mend"),
    [
        ("CREATE ON SCHEMA public", "it may CREATE in schema public", "REVOKE CREATE ON SCHEMA public"),
        ("CREATE ON SCHEMA customers", "it may CREATE in schema customers", "REVOKE CREATE ON SCHEMA customers"),
        ("CREATE ON DATABASE {}", "it may CREATE in database {}", "REVOKE CREATE ON DATABASE {}"),
        ("TRUNCATE ON ops.tenant", "it may TRUNCATE ops.tenant", "REVOKE TRUNCATE ON ops.tenant"),
        ("TRIGGER ON ops.tenant", "it may TRIGGER ops.tenant", "REVOKE TRIGGER ON ops.tenant"),
        ("MAINTAIN ON ops.tenant", "it may MAINTAIN ops.tenant", "REVOKE MAINTAIN ON ops.tenant"),
    ],
)
def test_a_granted_right_is_refused_whoever_it_was_granted_to(
    warehouse: Warehouse, role, right: str, words: str, mend: str
):
    right, words, mend = (text.format(warehouse.settings.db_name) for text in (right, words, mend))
    role(f"GRANT {GROUP} TO {ROLE}")
    for grantee in (ROLE, GROUP, "PUBLIC"):
        enter(warehouse)
        role(f"GRANT {right} TO {grantee}")
        assert f"{words} ({mend} FROM {grantee})" in refused(warehouse)
        role(f"{mend} FROM {grantee}")
    enter(warehouse)


def test_all_privileges_on_all_tables_are_refused_in_one_line(warehouse: Warehouse, role):
    role(f"GRANT ALL ON ALL TABLES IN SCHEMA customers TO {ROLE}")
    assert "it may MAINTAIN and TRIGGER and TRUNCATE customers.cdp_profiles and " in refused(warehouse)


def test_temporary_tables_of_another_session_are_no_property(warehouse: Warehouse, role):
    settings = warehouse.settings.model_copy(update={"db_user": ROLE})
    with connect(settings) as first:
        first.execute("CREATE TEMPORARY TABLE stage (id int PRIMARY KEY, words text)")
        first.execute("CREATE FUNCTION pg_temp.one() RETURNS int RETURN 1")
        enter(warehouse)


def test_the_owner_of_the_tables_is_refused(warehouse: Warehouse):
    with (
        pytest.raises(ConfigurationError, match=r"it owns .*table campaigns\.campaign and "),
        connect(warehouse.settings.model_copy(update={"db_user": "test_owner"})),
    ):
        pass


def test_names_are_not_looked_up_where_others_may_create(warehouse: Warehouse, app: psycopg.Connection):
    with warehouse.superuser() as connection:
        connection.execute("CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions")
        connection.execute("CREATE TABLE public.tenant (hijacked int)")
        connection.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
    with connect(warehouse.settings) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog,extensions,pg_temp",)
        assert connection.execute("SELECT to_regclass('tenant')").fetchone() == (None,)
        assert connection.execute("SELECT '[1,2]'::vector <=> '[1,2]'::vector").fetchone() == (0.0,)
