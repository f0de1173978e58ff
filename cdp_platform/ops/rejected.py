"""Source documents that could not be taken, kept whole with the reason.

Grain of ``ops.rejected_record``: one row per (tenant, source, document key). A record waits until a later version of
the document or a replay is taken, or for a time if nothing reads it again; a document that is rejected again stays one
row. All functions work inside a
transaction of the tenant.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from cdp_platform.warehouse.statements import statement


class RejectedDocumentError(ValueError):
    """This document cannot be mapped: says why and where, and carries no value of it.

    Attributes:
        code: a stable word for the reason, such as ``amount_not_a_number``.
        path: the place in the document, as a JSON path: ``$.inSegments[0].id``.
    """

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path


@dataclass(frozen=True)
class Rejection:
    """One document and why it was not taken.

    Attributes:
        profile_ids: keys of the profiles that the document is about.
        revision: version of the document, if its source names versions.
        addresses: e-mail addresses in a document that names no profile, lower case, so that an erasure finds it.
        read_once: nothing reads the document again, as a line of a file: the record goes after a time.
    """

    document_key: str
    code: str
    path: str
    message: str
    document: dict[str, Any]
    profile_ids: list[str]
    revision: str | None = None
    addresses: Sequence[str] = ()
    read_once: bool = False

    @classmethod
    def of(
        cls,
        document_key: str,
        document: dict[str, Any],
        error: RejectedDocumentError,
        profile_ids: Iterable[str],
        revision: str | None = None,
    ) -> "Rejection":
        """The rejection that an error of the mapping means."""
        return cls(document_key, error.code, error.path, str(error), document, list(profile_ids), revision)


@dataclass(frozen=True)
class RejectedRecord:
    """One row of ``ops.rejected_record`` that still waits."""

    source: str
    document_key: str
    code: str
    path: str
    message: str
    document: Any
    first_seen_at: Any
    attempts: int


def record(connection: psycopg.Connection, tenant_id: str, source: str, rejections: Sequence[Rejection]) -> None:
    """Keep these rejections; in the transaction that moves the watermark past them."""
    if not rejections:
        return
    rows = [
        {
            **vars(rejection),
            "tenant": tenant_id,
            "source": source,
            "document": _as_json(rejection.document),
            "addresses": list(rejection.addresses),
        }
        for rejection in rejections
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement("ops", "record_rejected"), rows)


def _as_json(document: Any) -> str:
    # ASCII, and the column is json, not jsonb: NUL characters and lone surrogates, which are often the very reason,
    # survive as escapes.
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        # JSON has no NaN and no infinity. As strings they stay readable and are rejected again.
        return json.dumps(json.loads(json.dumps(document), parse_constant=str))


def resolve(connection: psycopg.Connection, tenant_id: str, source: str, keys: Collection[str]) -> int:
    """Mark the records of these documents as taken; returns how many waited."""
    if not count_waiting(connection, tenant_id, source):
        return 0
    values = {"tenant": tenant_id, "source": source, "keys": list(keys)}
    return connection.execute(statement("ops", "resolve_rejected"), values).rowcount


def delete(connection: psycopg.Connection, tenant_id: str, source: str, keys: Collection[str]) -> None:
    """Delete the records of these documents."""
    connection.execute(
        "DELETE FROM ops.rejected_record WHERE tenant_id = %s AND source = %s AND document_key = ANY(%s)",
        [tenant_id, source, list(keys)],
    )


def resolve_unseen(connection: psycopg.Connection, tenant_id: str, source: str, since: datetime) -> int:
    """Mark the records as done that a full read, begun at ``since``, did not find: their documents are gone."""
    values = {"tenant": tenant_id, "source": source, "since": since}
    return connection.execute(statement("ops", "resolve_unseen_rejected"), values).rowcount


def waiting_documents(
    connection: psycopg.Connection, tenant_id: str, source: str, *, after: str, limit: int
) -> list[tuple[str, Any]]:
    """Key and document of at most ``limit`` records that wait, ordered by key, with keys greater than ``after``."""
    values = {"tenant": tenant_id, "source": source, "after": after, "limit": limit}
    return connection.execute(statement("ops", "rejected_documents"), values).fetchall()


def waiting(connection: psycopg.Connection, tenant_id: str) -> list[RejectedRecord]:
    """The records of a tenant that still wait, oldest first."""
    with connection.cursor(row_factory=class_row(RejectedRecord)) as cursor:
        return cursor.execute(statement("ops", "rejected_records"), {"tenant": tenant_id}).fetchall()


def count_waiting(connection: psycopg.Connection, tenant_id: str, source: str) -> int:
    """How many documents of this source wait."""
    row = connection.execute(
        "SELECT count(*) FROM ops.rejected_record WHERE tenant_id = %s AND source = %s AND resolved_at IS NULL",
        [tenant_id, source],
    ).fetchone()
    return int(row[0]) if row else 0


def count_waiting_by_source(connection: psycopg.Connection, tenant_id: str) -> dict[str, int]:
    """How many documents wait of each source that has any."""
    query = (
        "SELECT source, count(*) FROM ops.rejected_record WHERE tenant_id = %s AND resolved_at IS NULL"
        " GROUP BY source ORDER BY source"
    )
    return dict(connection.execute(query, [tenant_id]).fetchall())
