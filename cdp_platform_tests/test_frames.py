"""Tables and queries as DataFrames: whose rows, of which types, and what is refused."""

import gc
import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import psycopg
import pytest

from cdp_platform import frames, settings
from cdp_platform.errors import BusyError, NotMigratedError, QueryError, UnknownTenantError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.columns import FILE
from cdp_platform.warehouse.connection import connect, tenant_transaction
from cdp_platform_tests.conftest import Server, Warehouse, postgres_settings

MICROSECOND = np.timedelta64(1, "us")

TYPES: list[tuple[str, str, str, Any]] = [
    # An expression, PostgreSQL's type, pandas' type, the value.
    ("-32768", "smallint", "Int16", -(2**15)),
    ("2147483647", "integer", "Int32", 2**31 - 1),
    ("9223372036854775807", "bigint", "Int64", 2**63 - 1),
    ("true", "boolean", "boolean", True),
    ("1.1", "real", "float32", np.float32(1.1)),
    ("0.1", "double precision", "float64", 0.1),
    ("12345678901234567890.0100", "numeric", "object", Decimal("12345678901234567890.0100")),
    ("'Quận 1, \"x\"'", "text", "str", 'Quận 1, "x"'),
    ("''", "text", "str", ""),
    ("'USD'", "char(3)", "str", "USD"),
    ("'a'", "varchar(5)", "str", "a"),
    (
        "'2026-03-01 10:00:00.123456+07'",
        "timestamptz",
        "datetime64[us, UTC]",
        pd.Timestamp("2026-03-01T03:00:00.123456Z"),
    ),
    ("'0001-01-01 00:00:00'", "timestamp", "datetime64[us]", pd.Timestamp("0001-01-01")),
    ("'1969-12-31'", "date", "datetime64[s]", pd.Timestamp("1969-12-31")),
    ("'{\"a\": [1, 2.5, null]}'", "jsonb", "object", {"a": [1, 2.5, None]}),
    ("'[1, 2]'", "json", "object", [1, 2]),
    ("'{a,NULL}'", "text[]", "object", ["a", None]),
    ("'{{1,2},{3,4}}'", "bigint[]", "object", [[1, 2], [3, 4]]),
    ("'{2026-03-01 10:00:00+07}'", "timestamptz[]", "object", [datetime(2026, 3, 1, 3, tzinfo=UTC)]),
    ("'\\x00ff'", "bytea", "object", b"\x00\xff"),
    ("'00000000-0000-0000-0000-000000000001'", "uuid", "object", UUID(int=1)),
    ("'1 day'", "interval", "object", timedelta(days=1)),
    ("'a b'", "tsvector", "str", "'a' 'b'"),
]


@pytest.fixture(scope="module")
def database(server: Server, _migrated_template: str) -> Iterator[Warehouse]:
    """One warehouse for all tests here: most of them write nothing."""
    name = f"frames_{os.getpid()}"
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_migrated_template} OWNER test_owner")
    made = Warehouse(postgres_settings(server, name), server)
    with connect(made.settings) as connection:
        for tenant in ("acme", "zen"):
            tenants.add(connection, tenant, arango_database=tenant)
    yield made
    with server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def _used_by_the_platform(database: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    use(database.settings, monkeypatch)


@pytest.fixture
def app(database: Warehouse) -> Iterator[psycopg.Connection]:
    """A connection as the platform's own role, to tenants without rows."""
    with connect(database.settings) as connection:
        for tenant in ("acme", "zen"):
            with tenant_transaction(connection, tenant):
                connection.execute("DELETE FROM customers.customer_metrics")
        yield connection


def use(chosen: settings.PostgresSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name this database."""
    for name, value in chosen.model_dump(mode="json").items():
        monkeypatch.setenv(f"PGSQL_{name}".upper(), str(value))
    monkeypatch.setenv("PGSQL_DB_PASSWORD", chosen.db_password.get_secret_value())
    settings.forget()


def values(rows: str, **options: Any) -> pd.Series:
    """The column that a query of these rows has."""
    return frames.query(f"SELECT it FROM (VALUES {rows}) AS t (it)", tenant="acme", **options)["it"]


def fill(app: psycopg.Connection, tenant: str, *customers: str) -> None:
    with tenant_transaction(app, tenant), app.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO customers.customer_metrics (tenant_id, profile_id, currency, freq_90d, avg_order_value, "
            "monetary_90d, clv_est, experience_score, segment, segment_reason, updated_at) "
            "VALUES (%s, %s, 'USD', 1, 10.50, 10.50, 42.00, 50, 'target', '{}', now())",
            [(tenant, customer) for customer in customers],
        )


@pytest.mark.parametrize(("expression", "type_name", "dtype", "value"), TYPES)
def test_a_type_of_postgresql_has_one_type_of_pandas_whatever_the_values(
    expression: str, type_name: str, dtype: str, value: Any
):
    it = f"({expression})::{type_name}"
    both = values(f"({it}), (NULL), ({it})")
    assert both.dtype == dtype
    assert [both[0], both[2]] == [value, value]
    assert both.isna().tolist() == [False, True, False]
    for less in (values(f"({it})"), values(f"(NULL::{type_name})"), values(f"({it}) LIMIT 0")):
        assert less.dtype == dtype


@pytest.mark.parametrize(("type_name", "dtype"), [("vector", np.float32), ("halfvec", np.float16)])
def test_vectors_are_arrays_and_stack_to_a_matrix(type_name: str, dtype: type):
    found = values(f"('[1,-0.5]'::{type_name}), ('[0,2]')")
    matrix = np.stack(found.tolist())
    assert matrix.dtype == dtype
    assert matrix.tolist() == [[1, -0.5], [0, 2]]
    assert values(f"(NULL::{type_name})").tolist() == [None]


def test_exact_numbers_are_floats_by_choice():
    found = values("(0.10::numeric), (NULL), ('NaN'), (1e20)", floats=True)
    assert found.dtype == "float64"
    np.testing.assert_array_equal(found, [0.1, np.nan, np.nan, 1e20])


def test_moments_are_exact_over_all_that_postgresql_has_and_infinity_is_beyond_them():
    found = values(
        "('infinity'::timestamptz), ('294276-12-31 23:59:59.999999+00'), ('9999-12-31 00:00+00'),"
        " ('2000-01-01 00:00+00'), ('1969-12-31 23:59:59.999999+00'), ('4714-11-24 00:00+00 BC'), ('-infinity')"
    )
    assert found.is_monotonic_decreasing
    moments = found.dt.tz_localize(None).to_numpy()
    assert moments[2] == np.datetime64("9999-12-31T00:00")
    assert moments[3] == np.datetime64("2000-01-01T00:00")
    assert moments[4] == np.datetime64(0, "us") - MICROSECOND
    assert moments[5] == np.datetime64("-4713-11-24T00:00")
    days = values("('infinity'::date), ('5874897-12-31'), ('2000-01-01'), ('4714-11-24 BC'), ('-infinity')")
    assert days.is_monotonic_decreasing
    assert days.is_unique
    assert days[2] == pd.Timestamp(date(2000, 1, 1))
    # Printing a frame is what a notebook does first.
    assert "294247" in str(found)


def test_a_frame_has_the_rows_of_its_tenant_only(app: psycopg.Connection):
    fill(app, "acme", "a", "b")
    fill(app, "zen", "z")
    assert frames.table("customers.customer_metrics", tenant="acme")["profile_id"].tolist() == ["a", "b"]
    assert frames.table("customers.customer_metrics", tenant="zen")["profile_id"].tolist() == ["z"]
    everybody = frames.query("SELECT count(*) AS rows FROM customers.customer_metrics", tenant="zen")
    assert everybody["rows"].tolist() == [1]


def test_every_table_and_view_is_read_with_the_columns_that_it_has(app: psycopg.Connection):
    described = json.loads(FILE.read_text(encoding="utf-8"))
    read = {}
    for name in described:
        try:
            read[name] = list(frames.table(name, tenant="acme", connection=app).columns)
        except QueryError as error:
            # What the platform's role itself cannot see.
            assert "permission denied" in str(error) or "no table" in str(error), name  # noqa: PT017
    assert read == {name: [column["name"] for column in described[name]] for name in read}
    assert {"customers.orders", "customers.cdp_profiles", "embeddings.embedding", "ops.tenant"} <= set(read)


def test_many_rows_come_in_the_order_of_the_query():
    found = frames.query(
        "SELECT n, nullif(n %% 3, 0) AS third, n::text AS word FROM generate_series(1, %(rows)s) AS n ORDER BY n DESC",
        tenant="acme",
        parameters={"rows": 25_000},
    )
    assert found["n"].tolist() == list(range(25_000, 0, -1))
    assert found["third"].isna().sum() == 25_000 // 3
    assert found["word"].tolist() == found["n"].astype(str).tolist()
    assert found.index.equals(pd.RangeIndex(25_000))
    assert found.dtypes.astype(str).to_dict() == {"n": "Int32", "third": "Int32", "word": "str"}


@pytest.mark.parametrize("end", ["", ";", " ; \n", " -- all of them"])
def test_a_statement_ends_as_people_end_it(end: str):
    found = frames.query("SELECT 'x' AS it WHERE 'ab' LIKE 'a%'" + end, tenant="acme")
    assert found["it"].tolist() == ["x"]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO ops.tenant VALUES ('x')", "syntax error"),
        ("DELETE FROM customers.customer_metrics", "syntax error"),
        ("WITH gone AS (DELETE FROM customers.customer_metrics RETURNING 1) SELECT * FROM gone", "data-modifying"),
        ("SELECT ops.gate_rest('x', 1, '')", "cannot execute INSERT in a read-only transaction"),
        ("SELECT 1 FROM customers.customer_metrics FOR UPDATE", "cannot execute SELECT FOR UPDATE"),
        ("SELECT 1; DELETE FROM customers.customer_metrics", "multiple commands"),
        ("COMMIT", "syntax error"),
    ],
)
def test_a_write_is_refused(app: psycopg.Connection, statement: str, reason: str):
    fill(app, "acme", "a")
    with pytest.raises(QueryError, match=reason) as raised:
        frames.query(statement, tenant="acme")
    assert raised.value.advice.endswith("A frame is one SELECT, which reads and never writes.")
    assert len(frames.table("customers.customer_metrics", tenant="acme")) == 1
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT nothing", 'column "nothing" does not exist'),
        ("SELECT * FROM orders", 'relation "orders" does not exist'),
        ("SELECT %(x)s", "query parameter missing: x"),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT 1 AS it, 2 AS it", "two columns 'it'.*another name with AS"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(statement: str, reason: str):
    with pytest.raises(QueryError, match=reason):
        frames.query(statement, tenant="acme", parameters={})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("customers.order", "Did you mean customers.orders"),
        ("orders", "Give its schema too, as in customers.orders"),
        ('ops.tenant"; DROP TABLE ops.tenant; --', "There is no table"),
    ],
)
def test_an_unknown_table_is_named_with_those_like_it(name: str, advice: str):
    with pytest.raises(QueryError, match=advice):
        frames.table(name, tenant="acme")


def test_an_unknown_tenant_is_refused_and_a_retired_one_is_read(app: psycopg.Connection):
    with pytest.raises(UnknownTenantError, match="'nobody'"):
        frames.table("customers.orders", tenant="nobody")
    tenants.add(app, "left", arango_database="left")
    fill(app, "left", "a")
    tenants.retire(app, "left")
    assert len(frames.table("customers.customer_metrics", tenant="left")) == 1


def test_a_database_without_a_warehouse_says_what_to_run(server: Server, monkeypatch: pytest.MonkeyPatch):
    use(postgres_settings(server, server.new_database("test_owner")), monkeypatch)
    with pytest.raises(NotMigratedError, match="cdp migrate"):
        frames.table("customers.orders", tenant="acme")


def test_a_query_has_the_limit_of_every_statement(database: Warehouse, monkeypatch: pytest.MonkeyPatch):
    use(database.settings.model_copy(update={"statement_timeout": 1}), monkeypatch)
    with pytest.raises(BusyError, match="PGSQL_STATEMENT_TIMEOUT"):
        frames.query("SELECT pg_sleep(30)::text AS it", tenant="acme")


def test_a_frame_joins_the_transaction_of_a_connection_that_is_given(app: psycopg.Connection):
    with tenant_transaction(app, "acme"):
        app.execute("CREATE TEMP TABLE stage ON COMMIT DROP AS SELECT 1.5 AS amount")
        fill(app, "acme", "not committed")
        staged = frames.query(
            "SELECT amount, profile_id FROM stage, customers.customer_metrics", tenant="acme", connection=app
        )
        assert staged.iloc[0].tolist() == [Decimal("1.5"), "not committed"]
        with pytest.raises(QueryError):
            frames.query("SELECT nothing", tenant="acme", connection=app)
        # The transaction goes on, and may write as before.
        fill(app, "acme", "b")
    assert len(frames.table("customers.customer_metrics", tenant="acme")) == 2
