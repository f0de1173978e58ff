"""Functions that act with their owner's rights do what they say, whatever others have put where names are looked up."""

import re
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from cdp_platform.ops import tenants
from cdp_platform_tests.conftest import PASSWORD, Warehouse
from cdp_platform_tests.rooms import ROOMS

OURS = ["ops", *ROOMS]

# Words before a bracket that are grammar, and so found nowhere.
GRAMMAR = set(
    "all and any array as by case cast check coalesce conflict else exists extract filter from greatest group if "
    "in into key least lateral limit materialized not nullif on or order over partition recursive returning row "
    "select set substring table then trim using values when where while with".split()
)
# Names of types that are no keywords of the grammar. PostgreSQL looks for types in the temporary schema first.
TYPES = (
    "text timestamptz date uuid jsonb json bytea regclass regprocedure oid int2 int4 int8 float4 float8 bool tsquery"
)


def flaws(connection: psycopg.Connection) -> dict[str, set[str]]:
    """What is wrong with each function that acts with its owner's rights, by its name."""
    found: dict[str, set[str]] = {}
    rows = connection.execute(
        """
        SELECT p.oid::regprocedure::text, l.lanname, p.prosrc, p.prosqlbody IS NOT NULL,
               coalesce(p.proconfig @> '{"search_path=\\"\\""}', false),
               EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0),
               EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}')) AS a
                       JOIN pg_type AS t ON t.oid = a JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
                       WHERE tn.nspname <> 'pg_catalog' AND tn.nspname <> ALL (%(ours)s)),
               -- What a parsed body found elsewhere.
               EXISTS (SELECT FROM pg_depend AS d
                       LEFT JOIN pg_proc AS f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
                       LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
                       LEFT JOIN pg_class AS c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
                       LEFT JOIN pg_type AS t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
                       JOIN pg_namespace AS dn
                           ON dn.oid = coalesce(f.pronamespace, o.oprnamespace, c.relnamespace, t.typnamespace)
                       WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                         AND dn.nspname <> 'pg_catalog' AND dn.nspname <> ALL (%(ours)s))
        FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE p.prosecdef AND n.nspname !~ '^(pg_|information_schema)'
          -- An extension's functions are its own business.
          AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')
        """,
        {"ours": OURS},
    ).fetchall()
    for name, language, source, parsed, is_pinned, is_public, has_foreign_type, has_foreign_name in rows:
        of = found.setdefault(name, set())
        of |= {"its search path is not empty"} if not is_pinned else set()
        of |= {"everybody may execute it"} if is_public else set()
        of |= {"an argument is of a type from elsewhere"} if has_foreign_type else set()
        of |= {"its body found a name elsewhere"} if has_foreign_name else set()
        of |= {f"{language} is not read here"} if language not in {"sql", "plpgsql"} else set()
        if not parsed:
            of |= {f"{word} has no schema" for word in unqualified(source)}
    return found


def unqualified(body: str) -> set[str]:
    """Names in a body that are looked up by the search path: of functions, relations and types."""
    body = re.sub(r"--[^\n]*|'(?:[^']|'')*'", " ", body)
    declared = set(re.findall(r"^\s*(\w+) [\w.]+(?:\[\])?(?: :=|;)", body, re.MULTILINE))
    called = re.findall(r"(?<![.\w])(\w+)\s*\(", body)
    relations = re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(\w+)\b(?!\.)", body)
    types = re.findall(rf"(?<![.\w])({'|'.join(TYPES.split())})\b", body)
    return {name for name in (*called, *relations, *types) if name.lower() not in GRAMMAR} - declared


def test_every_function_with_its_owners_rights_resolves_no_name_by_a_search_path(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        found = flaws(connection)
    assert len(found) >= 8
    assert {name: flaw for name, flaw in found.items() if flaw} == {}


@pytest.mark.parametrize(
    ("function", "flaw"),
    [
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
            "its search path is not empty",
        ),
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
            " RETURN 1",
            "its search path is not empty",
        ),
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' RETURN 1",
            "everybody may execute it",
        ),
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS"
            " $$BEGIN RETURN length('x'); END$$",
            "length has no schema",
        ),
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS"
            " $$BEGIN RETURN (SELECT 1 FROM pg_class LIMIT 1); END$$",
            "pg_class has no schema",
        ),
        (
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS"
            " $$DECLARE a text := 'x'; BEGIN RETURN 1; END$$",
            "text has no schema",
        ),
        (
            "CREATE DOMAIN public.number AS int; "
            "CREATE FUNCTION ops.new(n public.number) RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = ''"
            " RETURN 1",
            "an argument is of a type from elsewhere",
        ),
        (
            "CREATE FUNCTION public.length(int) RETURNS int LANGUAGE sql RETURN 1; "
            "CREATE FUNCTION ops.new() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' RETURN length(1)",
            "its body found a name elsewhere",
        ),
    ],
)
def test_a_new_function_that_is_not_safe_is_found(warehouse: Warehouse, function: str, flaw: str):
    with warehouse.superuser() as connection:
        connection.execute(function)
        found = flaws(connection)
    (new,) = (name for name in found if name.startswith("ops.new("))
    assert flaw in found[new]


def test_every_view_shows_what_its_reader_may_see_and_every_trigger_has_a_fixed_path(warehouse: Warehouse):
    with warehouse.superuser() as connection:
        views = connection.execute(
            "SELECT oid::regclass::text, coalesce(reloptions @> '{security_invoker=true}', false) FROM pg_class"
            " WHERE relkind IN ('v', 'm') AND relnamespace::regnamespace::text = ANY (%s)",
            [OURS],
        ).fetchall()
        triggers = connection.execute(
            'SELECT oid::regprocedure::text, coalesce(proconfig @> \'{"search_path=\\"\\""}\', false) FROM pg_proc'
            " WHERE prorettype = 'trigger'::regtype AND pronamespace::regnamespace::text = ANY (%s)",
            [OURS],
        ).fetchall()
    assert len(views) >= 4
    assert len(triggers) >= 10
    assert [name for name, is_safe in views + triggers if not is_safe] == []


# Better matches than PostgreSQL's own for calls that definer functions make, and names of types that they use.
# Each notes who calls it.
PLANTED = """
CREATE TABLE public.caught (who text, what text);
GRANT INSERT ON public.caught TO PUBLIC;
CREATE FUNCTION public.note(what text) RETURNS void LANGUAGE sql
    AS $$ INSERT INTO public.caught VALUES (current_user, what) $$;
CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint LANGUAGE sql
    AS $$ SELECT public.note('hashtextextended'); SELECT 1::bigint $$;
CREATE FUNCTION public.cardinality(timestamptz[]) RETURNS int LANGUAGE sql
    AS $$ SELECT public.note('cardinality'); SELECT 1 $$;
CREATE FUNCTION public.make_interval(secs double precision) RETURNS interval LANGUAGE sql
    AS $$ SELECT public.note('make_interval'); SELECT interval '1 second' $$;
CREATE FUNCTION public.format(text, text, int) RETURNS text LANGUAGE sql
    AS $$ SELECT public.note('format'); SELECT 'x' $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql
    AS $$ SELECT public.note('format'); SELECT 'x' $$;
CREATE FUNCTION public.format(text, text, text, int, text, text, int) RETURNS text LANGUAGE sql
    AS $$ SELECT public.note('format'); SELECT 'x' $$;
CREATE FUNCTION public.appended(timestamptz[], timestamptz) RETURNS timestamptz[] LANGUAGE sql
    AS $$ SELECT public.note('||'); SELECT $1 $$;
CREATE OPERATOR public.|| (LEFTARG = timestamptz[], RIGHTARG = timestamptz, FUNCTION = public.appended);
CREATE FUNCTION public.trapped(anyelement) RETURNS boolean LANGUAGE sql
    AS $$ SELECT public.note('type'); SELECT true $$;
"""
PLANTED_TYPES = "text timestamptz vector halfvec"


@pytest.fixture
def planted(warehouse: Warehouse) -> Iterator[psycopg.Connection]:
    """A session of the platform's role, in whose path everything is planted before what is meant."""
    with warehouse.superuser() as connection:
        # Those of pgvector keep their names, so the extension has to be elsewhere for others to be put there.
        connection.execute("CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions")
        connection.execute(PLANTED)
        connection.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
        for name in PLANTED_TYPES.split():
            base = name if name in {"text", "timestamptz"} else f"extensions.{name}"
            base = f"pg_catalog.{base}" if "." not in base else base
            connection.execute(f"CREATE DOMAIN public.{name} AS {base} CHECK (public.trapped(VALUE))")
    with psycopg.connect(
        host="127.0.0.1",
        port=warehouse.settings.db_port,
        dbname=warehouse.settings.db_name,
        user=warehouse.settings.db_user,
        password=PASSWORD,
        autocommit=True,
    ) as attacker:
        for name in PLANTED_TYPES.split():
            attacker.execute(f"CREATE DOMAIN pg_temp.{name} AS public.{name} CHECK (public.trapped(VALUE))")
        for table in (
            "tenant",
            "embedding",
            "embedding_model",
            "embedding_job",
            "text_batch",
            "passage",
            "source_look",
        ):
            attacker.execute(f"CREATE TEMPORARY TABLE {table} (name text, model_id int, dimensions int)")
        attacker.execute("SET search_path = pg_temp, public, pg_catalog")
        yield attacker


def caught(warehouse: Warehouse) -> list[tuple[str, str]]:
    with warehouse.superuser() as connection:
        return connection.execute("SELECT DISTINCT who, what FROM public.caught ORDER BY 1, 2").fetchall()


def test_what_is_planted_for_a_function_with_its_owners_rights_is_never_called(
    warehouse: Warehouse, app: psycopg.Connection, planted: psycopg.Connection
):
    tenants.add(app, "alpha", arango_database="alpha")
    with warehouse.superuser() as connection:
        connection.execute(
            "INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, state)"
            " VALUES ('planted', 'small', 3, 100, 'active'), ('planted', 'large', 3000, 100, 'building')"
        )
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO embeddings.embedding (tenant_id, kind, entity_id, model_id, vector, content_hash)"
            " VALUES ('alpha', 'profile', 'p', 1, '[1,0,0]', '')"
        )
        called = {
            name
            for (name,) in connection.execute(
                "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace::regnamespace::text = ANY (%s)", [OURS]
            )
        }
    # The trap works: in the session's own path everything that is planted is found, and by whom.
    planted.execute("SELECT hashtextextended('x', 0), cardinality(ARRAY[now()]), make_interval(secs => 1.0::float8)")
    planted.execute("SELECT format('x'::varchar::pg_catalog.text, 'y'::pg_catalog.text, 1), ARRAY[now()] || now()")
    planted.execute("SET search_path = ''; DO $$ DECLARE a text := 'x'; BEGIN NULL; END $$")
    planted.execute("SET search_path = pg_temp, public, pg_catalog")
    role = warehouse.settings.db_user
    traps = {(role, what) for what in ("hashtextextended", "cardinality", "make_interval", "format", "||", "type")}
    assert set(caught(warehouse)) == traps

    calls: dict[str, LiteralString] = {
        "registered_tenants": "SELECT * FROM ops.registered_tenants()",
        "source_looks": "SELECT * FROM ops.source_looks('a_sensor')",
        "store_looks": "SELECT ops.store_looks('a_sensor', %s, %s)",
        "waiting": "SELECT * FROM embeddings.waiting() AS e, referrals.waiting() AS r",
        "due": "SELECT * FROM campaigns.due() AS c, enrichment.due() AS e",
        "account_ledger": "SELECT enrichment.account_ledger('key', '-infinity')",
        "gather_statistics": "SELECT campaigns.gather_statistics()",
        "tenants_of_keys": "SELECT * FROM campaigns.tenants_of_keys('email', '{key}')",
        "matches": "SELECT * FROM embeddings.matches('profile', 'word', 1)",
        "build_vector_indexes": "SELECT embeddings.build_vector_indexes('profile', m, 1) FROM generate_series(1, 2) m",
        "lift_erasure": "SELECT ops.lift_erasure(NULL, 'cdp_profile', '{nobody}')",
        "delete_vectors": "SELECT embeddings.delete_vectors(1)",
        "drop_vector_index": "SELECT embeddings.drop_vector_index(embeddings.vector_index('alpha', 'profile', 2) || 1)",
    }
    assert called == set(calls)
    look = {"tenant_id": "alpha", "source": "one", "failed_looks": 0, "waits": False}
    given = {"store_looks": [Jsonb([look]), Jsonb([{"tenant_id": "alpha", "source": "another"}])]}
    for name, call in calls.items():
        planted.execute(sql.SQL(call), given.get(name))
    assert set(caught(warehouse)) == traps
    with warehouse.superuser() as connection:
        ((index,),) = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'embeddings.embedding'::regclass"
            " AND NOT indisprimary"
        ).fetchall()
        assert index.startswith("embeddings.vectors_profile_1_")
