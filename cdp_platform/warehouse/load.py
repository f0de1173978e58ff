"""Bulk load: rows by binary COPY into a temporary table, then one merge.

Measured against the alternatives on the same rows, this beats every form of INSERT (row by row, executemany, unnest).
Rows that the target already has, told by the hash of their document, are neither copied nor touched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Target:
    """A table that documents are merged into.

    Attributes:
        schema: its schema, the name of the room.
        table: its name; together with ``schema`` it has ``tenant_id`` and ``document_hash``.
        key: the column that is unique within a tenant.
        columns: name and PostgreSQL type of each column that a row carries, in order, ``tenant_id`` first.
    """

    schema: str
    table: str
    key: str
    columns: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Schema and table, as people write it."""
        return f"{self.schema}.{self.table}"

    @property
    def _identifier(self) -> sql.Composable:
        return sql.Identifier(self.schema, self.table)

    @property
    def _stage(self) -> sql.Composable:
        return sql.Identifier(f"stage_{self.table}")


def unchanged_keys(
    connection: psycopg.Connection, target: Target, tenant_id: str, hashes: dict[str, bytes]
) -> set[str]:
    """Those of the given documents (key to hash) that the target holds in just this version."""
    query = sql.SQL(
        "SELECT s.key FROM unnest(%s::text[], %s::bytea[]) AS s (key, hash)"
        " JOIN {target} AS t ON t.tenant_id = %s AND t.{key} = s.key AND t.document_hash = s.hash"
    ).format(target=target._identifier, key=sql.Identifier(target.key))
    rows = connection.execute(query, [list(hashes), list(hashes.values()), tenant_id], binary=True).fetchall()
    return {row[0] for row in rows}


def merge(connection: psycopg.Connection, target: Target, rows: Iterable[Sequence[Any]]) -> tuple[int, int]:
    """Insert the rows, or replace those of the same (tenant, key); once in the caller's transaction.

    Args:
        rows: values in the order of ``target.columns``; no key twice.

    Returns:
        How many rows were new, and how many replaced an older version.
    """
    names = [name for name, _ in target.columns]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {target}"
        ).format(stage=target._stage, columns=columns, target=target._identifier)
        + sql.SQL(" WITH NO DATA")
    )
    copy = sql.SQL("COPY {stage} ({columns}) FROM STDIN (FORMAT BINARY)").format(stage=target._stage, columns=columns)
    with connection.cursor() as cursor:
        with cursor.copy(copy) as writer:
            writer.set_types([kind for _, kind in target.columns])
            for row in rows:
                writer.write_row(row)
        statement = sql.SQL(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage}"
            " ON CONFLICT (tenant_id, {key}) DO UPDATE SET {assignments}, synced_at = now()"
            # xmax is 0 only on a row version that an INSERT made.
            " RETURNING (xmax = 0)"
        ).format(
            target=target._identifier,
            columns=columns,
            stage=target._stage,
            key=sql.Identifier(target.key),
            assignments=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
                for name in names
                if name not in {"tenant_id", target.key}
            ),
        )
        counted = cursor.execute(
            sql.SQL("WITH merged (is_new) AS ({}) SELECT count(*) FILTER (WHERE is_new), count(*) FROM merged").format(
                statement
            )
        ).fetchone()
    assert counted is not None  # noqa: S101 (an aggregate always has one row)
    new, total = counted
    return new, total - new


def count_rows(connection: psycopg.Connection, target: Target, tenant_id: str) -> int:
    """How many rows a tenant has in the target."""
    query = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(target._identifier)
    row = connection.execute(query, [tenant_id]).fetchone()
    return int(row[0]) if row else 0
