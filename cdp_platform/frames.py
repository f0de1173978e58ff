"""Tables and queries of one tenant as pandas DataFrames, for notebooks and for computations of rooms over columns.

This module only reads. A frame is read in one read-only transaction, in which row-level security shows only the rows of
its tenant.

The type of a column depends only on PostgreSQL's type, and not on the values in it:

=========================== ======================================================= ==============
PostgreSQL                  pandas                                                  NULL
=========================== ======================================================= ==============
smallint, integer, bigint   Int16, Int32, Int64                                     pd.NA
boolean                     boolean                                                 pd.NA
numeric                     Decimal, as object; with ``floats`` float64             None; NaN
real, double precision      float32, float64                                        NaN
timestamptz                 datetime64[us, UTC]                                     NaT
timestamp, date             datetime64[us], datetime64[s]                           NaT
json, jsonb                 dict, list, str, ..., as object                         None
vector, halfvec             numpy arrays of float32, float16, as object             None
arrays, bytea, uuid, ...    list, bytes, UUID, ..., as object                       None
text and all other types    str                                                     NaN
=========================== ======================================================= ==============

The timestamps ``infinity`` and ``-infinity`` become the last and the first that pandas has, hundreds of thousands of
years away, so that they compare and sort as in PostgreSQL.
"""

import gc
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd
import psycopg
from pgvector import HalfVector, Vector
from psycopg import sql
from psycopg.pq import Format

from cdp_platform import settings
from cdp_platform.errors import NotMigratedError, QueryError
from cdp_platform.ops import tenants
from cdp_platform.warehouse.connection import connect, tenant_transaction

# Number of rows that are Python objects at the same time.
_BATCH_ROWS = 10_000


def table(
    name: str, *, tenant: str, floats: bool = False, connection: psycopg.Connection | None = None
) -> pd.DataFrame:
    """All columns and rows of a table or view of one tenant, in no particular order.

    Args:
        name: with its schema, such as ``customers.orders``.
        tenant: the tenant whose rows are read.
        floats: amounts and other exact numbers as float64, which computes fast, instead of Decimal.
        connection: of the platform's role; by default one that is opened for this frame.

    Raises:
        QueryError: there is no such table, or the platform's role may not read it.
        UnknownTenantError: no such tenant.
        NotMigratedError: `cdp migrate` was not run.
        ConfigurationError, UnavailableError, BusyError: see `cdp_platform.warehouse.connection.connect`.
    """
    with _reading(tenant, connection) as reading:
        known = [row[0] for row in reading.execute(_TABLES)]
        if name not in known:
            similar = ", ".join(get_close_matches(name, known))
            advice = f"Did you mean {similar}?" if similar else "Give its schema too, as in customers.orders."
            raise QueryError(f"There is no table {name!r} that the platform reads. {advice}")
        return _read(reading, sql.SQL("TABLE {}").format(sql.Identifier(*name.split("."))), None, floats=floats)


def query(
    statement: str | sql.SQL | sql.Composed,
    *,
    tenant: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    floats: bool = False,
    connection: psycopg.Connection | None = None,
) -> pd.DataFrame:
    """The rows of one SELECT, in its order. Names of tables need their schema.

    Args:
        statement: with ``%s`` or ``%(name)s`` where a parameter belongs.
        tenant: the tenant whose rows the statement sees.
        parameters: values for the placeholders of the statement.
        floats: amounts and other exact numbers as float64, which computes fast, instead of Decimal.
        connection: of the platform's role; by default one that is opened for this frame.

    Raises:
        QueryError: PostgreSQL refuses the statement, because it is wrong or would write; or two columns have the same
            name.
        UnknownTenantError: no such tenant.
        NotMigratedError: `cdp migrate` was not run.
        ConfigurationError, UnavailableError, BusyError: see `cdp_platform.warehouse.connection.connect`.
    """
    if isinstance(statement, str):
        statement = sql.SQL(statement.rstrip().removesuffix(";"))  # ty: ignore[invalid-argument-type]
    with _reading(tenant, connection) as reading:
        return _read(reading, statement, parameters, floats=floats)


_TABLES = "SELECT table_schema || '.' || table_name FROM information_schema.tables"


@contextmanager
def _reading(tenant: str, connection: psycopg.Connection | None) -> Generator[psycopg.Connection]:
    """A read-only transaction that sees the rows of this tenant."""
    with connect(settings.postgres()) if connection is None else nullcontext(connection) as reading:
        try:
            tenants.get(reading, tenant)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise NotMigratedError("The database has no warehouse: run `cdp migrate`.") from error
        with _refusals_explained(), tenant_transaction(reading, tenant):
            reading.execute("SET TRANSACTION READ ONLY")
            yield reading


_READS_ONLY = "A frame is one SELECT, which reads and never writes."
# PostgreSQL declares cursors only for SELECT, and reports a syntax error for other statements.
_MAY_BE_A_WRITE = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.SyntaxError,
    psycopg.errors.FeatureNotSupported,
)


@contextmanager
def _refusals_explained() -> Generator[None]:
    try:
        yield
    except (
        psycopg.ProgrammingError,
        psycopg.DataError,
        psycopg.NotSupportedError,
        psycopg.errors.ReadOnlySqlTransaction,
    ) as error:
        reason = error.diag.message_primary or str(error)
        hint = error.diag.message_hint or (_READS_ONLY if isinstance(error, _MAY_BE_A_WRITE) else "")
        raise QueryError(f"PostgreSQL refuses the query: {reason}. {hint}".rstrip()) from error


def _read(
    connection: psycopg.Connection, statement: sql.SQL | sql.Composed, parameters: Any, *, floats: bool
) -> pd.DataFrame:
    with connection.cursor(name="cdp_frame") as declared:
        # The statement does not run yet: PostgreSQL only declares the cursor, and returns the types of its columns.
        declared.execute(statement, parameters)
        columns = _columns(declared, connection, floats=floats)
    places = [sql.Identifier(f"c{place}") for place in range(len(columns))]
    sent = sql.SQL(", ").join(
        sql.SQL(column.sent).format(place)  # ty: ignore[invalid-argument-type]
        for column, place in zip(columns.values(), places, strict=True)
    )
    # The line break ends a comment at the end of the statement.
    converted = sql.SQL("SELECT {} FROM ({}\n) AS q ({})").format(sent, statement, sql.SQL(", ").join(places))
    batches = [_frame(columns, ())]
    # The server sends further rows while a batch becomes columns.
    with connection.cursor() as cursor, _no_garbage_collection():
        rows = cursor.stream(converted, parameters, binary=True, size=_BATCH_ROWS)
        while batch := list(islice(rows, _BATCH_ROWS)):
            batches.append(_frame(columns, batch))
    return pd.concat(batches, ignore_index=True)


@contextmanager
def _no_garbage_collection() -> Generator[None]:
    """Turn off the garbage collector: rows form no cycles, and visiting them repeatedly took 40 % of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class _Column:
    """How a column is sent and read.

    Attributes:
        sent: SQL expression for the server to send, with ``{}`` for the column.
        made: makes a pandas array of the received values, one value or None per row.
    """

    sent: str
    made: Callable[[Sequence[Any]], Any]


def _columns(cursor: psycopg.ServerCursor, connection: psycopg.Connection, *, floats: bool) -> dict[str, _Column]:
    """How each column of the declared cursor is sent and read, by its name."""
    description = cursor.description or []
    oids = [column.type_code for column in description]
    types = dict(
        connection.execute("SELECT oid::int8, typname FROM pg_catalog.pg_type WHERE oid = ANY(%s)", [oids]).fetchall()
    )
    columns: dict[str, _Column] = {}
    for column, oid in zip(description, oids, strict=True):
        if column.name in columns:
            raise QueryError(
                f"The query has two columns {column.name!r}, and a frame has one of each name. "
                "Give one of them another name with AS."
            )
        # Types that psycopg cannot read in binary form are read as text.
        is_read = cursor.adapters.get_loader(oid, Format.BINARY) is not None
        name = "float of numeric" if floats and types[oid] == "numeric" else types[oid]
        columns[column.name] = _COLUMNS.get(name) or (_OBJECT if is_read else _TEXT)
    return columns


def _frame(columns: Mapping[str, _Column], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return pd.DataFrame(
        {name: column.made(each) for (name, column), each in zip(columns.items(), values, strict=True)}, copy=False
    )


def _of(dtype: str) -> Callable[[Sequence[Any]], Any]:
    return lambda values: pd.array(values, dtype=dtype)


def _floats(dtype: str) -> Callable[[Sequence[Any]], Any]:
    # NumPy turns None into NaN.
    return lambda values: np.array(values, dtype=dtype)


def _objects(make: Callable[[Any], Any] = lambda value: value) -> Callable[[Sequence[Any]], Any]:
    def made(values: Sequence[Any]) -> Any:
        return np.fromiter(
            [None if value is None else make(value) for value in values], dtype=object, count=len(values)
        )

    return made


def _moments(width: str, epoch: int, units: int, dtype: str) -> Callable[[Sequence[bytes | None]], Any]:
    """Read timestamps and dates as PostgreSQL sends them, as a number since 2000.

    Args:
        width: NumPy's type of the number.
        epoch: units of PostgreSQL from 1970 to 2000; added to the number.
        units: number of units of pandas' type in one unit of PostgreSQL.
        dtype: pandas' type.
    """
    # -infinity is the least number and infinity the greatest; no timestamp is close to them.
    null = np.iinfo(width).min + 1
    sent_null = np.array(null, dtype=f">{width}").tobytes()
    greatest = np.iinfo(np.int64).max - epoch

    def made(values: Sequence[bytes | None]) -> Any:
        sent = b"".join([sent_null if value is None else value for value in values])
        numbers = np.frombuffer(sent, dtype=f">{width}").astype(np.int64)
        moments = (np.minimum(numbers, greatest) + epoch) * units
        moments[numbers == null] = np.iinfo(np.int64).min
        unit = dtype.partition("[")[2].partition(",")[0].rstrip("]")
        return pd.array(moments.view(f"datetime64[{unit}]"), dtype=dtype)

    return made


_DAYS_TO_2000 = 10_957
_SECONDS_OF_DAY = 86_400
_MICROSECONDS_TO_2000 = _DAYS_TO_2000 * _SECONDS_OF_DAY * 1_000_000

_OBJECT = _Column("{}", _objects())
_TEXT = _Column("{}::text", _of("str"))

# By PostgreSQL's name of the type. Each is sent in a form that NumPy, orjson or Decimal reads faster than psycopg.
_COLUMNS = {
    "int2": _Column("{}", _of("Int16")),
    "int4": _Column("{}", _of("Int32")),
    "int8": _Column("{}", _of("Int64")),
    "bool": _Column("{}", _of("boolean")),
    "numeric": _Column("{}::text", _objects(Decimal)),
    "float of numeric": _Column("{}::float8", _floats("float64")),
    "float4": _Column("{}", _floats("float32")),
    "float8": _Column("{}", _floats("float64")),
    "timestamptz": _Column("timestamptz_send({})", _moments("i8", _MICROSECONDS_TO_2000, 1, "datetime64[us, UTC]")),
    "timestamp": _Column("timestamp_send({})", _moments("i8", _MICROSECONDS_TO_2000, 1, "datetime64[us]")),
    "date": _Column("date_send({})", _moments("i4", _DAYS_TO_2000, _SECONDS_OF_DAY, "datetime64[s]")),
    "json": _Column("{}::text", _objects(orjson.loads)),
    "jsonb": _Column("{}::text", _objects(orjson.loads)),
    "vector": _Column("vector_send({})", _objects(lambda value: Vector.from_binary(value).to_numpy())),
    "halfvec": _Column("halfvec_send({})", _objects(lambda value: HalfVector.from_binary(value).to_numpy())),
    "text": _TEXT,
    "varchar": _TEXT,
    "bpchar": _TEXT,
    "name": _TEXT,
}
