"""Bulk load: rows by binary COPY into a temporary table, then one merge.

On the same rows this is faster than every form of INSERT (row by row, executemany, unnest); `make bench` measures it.
A row whose document hash equals the stored one is neither copied nor updated.
"""

import gc
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import psycopg
from psycopg import adapters, sql
from psycopg.adapt import PyFormat

# psycopg's dumper in C. A COPY would take the one for `bytea` that was registered last, which is written in Python.
_BYTES_DUMPER = adapters.get_dumper(bytes, PyFormat.BINARY)


@dataclass(frozen=True)
class Target:
    """A table that documents are merged into.

    Attributes:
        schema: its schema, the name of the room.
        table: its name; together with ``schema`` it has ``tenant_id`` and ``document_hash``.
        key: the column that is unique within a tenant.
        columns: name and PostgreSQL type of each column that a row carries, in order, ``tenant_id`` first.
        empty: the JSON of each ``jsonb`` column that has one where there is no value; the others have NULL.
    """

    schema: str
    table: str
    key: str
    columns: tuple[tuple[str, str], ...]
    empty: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Schema and table, as people write it."""
        return f"{self.schema}.{self.table}"

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and table, for statements."""
        return sql.Identifier(self.schema, self.table)

    @cached_property
    def jsonb_places(self) -> tuple[int, ...]:
        """The places of its ``jsonb`` columns in a row."""
        return tuple(at for at, (_, kind) in enumerate(self.columns) if kind == "jsonb")

    @property
    def stage(self) -> sql.Identifier:
        """The temporary table of staged rows."""
        return sql.Identifier(f"stage_{self.table}")


def held_hashes(
    connection: psycopg.Connection, target: Target, tenant_id: str, keys: Collection[str]
) -> dict[str, bytes]:
    """The keys that the target has, of these, with the hash of each stored document."""
    # One JSON text: psycopg encodes an array key by key, which takes ten times as long.
    query = sql.SQL(
        "SELECT {key}, document_hash FROM {target}"
        " WHERE tenant_id = %s AND {key} = ANY(ARRAY(SELECT json_array_elements_text(%s::json)))"
    ).format(target=target.identifier, key=sql.Identifier(target.key))
    # Planned each time: a prepared plan of an empty table would read the whole table for each batch of a first load.
    parameters = [tenant_id, orjson.dumps(list(keys)).decode()]
    rows = connection.execute(query, parameters, binary=True, prepare=False).fetchall()
    return dict(rows)


def stage(
    connection: psycopg.Connection, target: Target, rows: Iterable[Sequence[Any]], names: Sequence[str] | None = None
) -> None:
    """Copy rows into a temporary table, which is emptied at the end of the transaction.

    Args:
        connection: inside a transaction of the rows' tenant.
        target: where they go.
        rows: their values, those of ``jsonb`` columns as `jsonb` gives them; no key twice.
        names: the columns that the rows have, in order; all of the target by default.
    """
    kinds = dict(target.columns)
    names = names or list(kinds)
    connection.execute(
        sql.SQL(
            # PostgreSQL neither compresses nor splits these rows, unless one is larger than a page.
            "CREATE TEMPORARY TABLE IF NOT EXISTS {stage} WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS"
            " AS SELECT {columns} FROM {target}"
        ).format(stage=target.stage, columns=_listed(kinds), target=target.identifier)
        + sql.SQL(" WITH NO DATA")
    )
    copy = sql.SQL("COPY {stage} ({columns}) FROM STDIN (FORMAT BINARY)").format(
        stage=target.stage, columns=_listed(names)
    )
    with binary_copy(connection, copy, [kinds[name] for name in names]) as writer:
        for row in rows:
            writer.write_row(row)


def _listed(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


@contextmanager
def binary_copy(
    connection: psycopg.Connection, statement: sql.Composed, kinds: Iterable[str]
) -> Generator[psycopg.Copy]:
    """A COPY from this client in binary format, with nothing written in Python between a value and the buffer.

    Args:
        connection: inside a transaction.
        statement: the COPY.
        kinds: the PostgreSQL type of each column. Values of ``bytea`` and ``jsonb`` columns are bytes; for ``jsonb``
            those that `jsonb` gives.
    """
    with connection.cursor() as cursor:
        cursor.adapters.register_dumper(bytes, _BYTES_DUMPER)
        with cursor.copy(statement) as writer:
            # The server knows the types of the columns; these only choose how the client encodes.
            writer.set_types(["bytea" if kind == "jsonb" else kind for kind in kinds])
            yield writer


def jsonb(value: Any) -> bytes:
    """A JSON value as `binary_copy` sends it: the version of PostgreSQL's format, and the text."""
    return b"\x01" + orjson.dumps(value)


def encoded(target: Target, row: Sequence[Any]) -> list[Any]:
    """A row as `stage` takes it, of one whose ``jsonb`` columns hold JSON values."""
    values = list(row)
    for at in target.jsonb_places:
        if values[at] is not None:
            values[at] = jsonb(values[at])
    return values


def with_values(target: Target, columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns of the target that have a value in some row, in order; the others can be left out by `stage`."""
    empty = {name: jsonb(orjson.Fragment(text)) for name, text in target.empty.items()}
    return [name for name, _ in target.columns if columns[name].count(empty.get(name)) < len(columns[name])]


def merge(
    connection: psycopg.Connection, target: Target, *, replacing: bool, names: Sequence[str] | None = None
) -> None:
    """Insert the staged rows, or replace those of the same (tenant, key); in the transaction that staged them.

    Args:
        connection: inside the transaction.
        target: where they go.
        replacing: whether the target may hold an older version of any of them. A plain insert is cheaper, and an error
            if it does.
        names: the columns that the staged rows have; all of the target by default. Others become empty.
    """
    names = names or [name for name, _ in target.columns]
    values = {name: sql.Identifier(name) for name in names} | {
        name: sql.SQL("{}::jsonb").format(text) for name, text in target.empty.items() if name not in names
    }
    insert = sql.SQL("INSERT INTO {target} ({columns}) SELECT {values} FROM {stage}").format(
        target=target.identifier,
        columns=_listed(values),
        values=sql.SQL(", ").join(values.values()),
        stage=target.stage,
    )
    if replacing:
        insert += sql.SQL(" ON CONFLICT (tenant_id, {key}) DO UPDATE SET {assignments}, synced_at = now()").format(
            key=sql.Identifier(target.key),
            assignments=sql.SQL(", ").join(
                # A column that is not inserted is NULL in the row that is excluded.
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
                for name, _ in target.columns
                if name not in {"tenant_id", target.key}
            ),
        )
    connection.execute(insert)


def delete(
    connection: psycopg.Connection, target: Target, tenant_id: str, keys: Collection[str], *, staged: bool
) -> None:
    """Delete the rows of these keys from the target, and from the staged rows where there are any."""
    for table in [target.identifier, target.stage] if staged else [target.identifier]:
        query = sql.SQL("DELETE FROM {} WHERE tenant_id = %s AND {} = ANY(%s)").format(
            table, sql.Identifier(target.key)
        )
        connection.execute(query, [tenant_id, list(keys)])


@contextmanager
def collector_at_rest() -> Generator[None]:
    """Switch Python's cyclic garbage collector off: it spends a third of all time on walking through documents.

    Documents are trees, which reference counts free. The caller runs `gc.collect(0)` after each batch for the rest.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
