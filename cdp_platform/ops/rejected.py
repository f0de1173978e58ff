"""Source documents that could not be taken, kept whole with the reason, until a later version or a replay is taken.

Grain of ``ops.rejected_record``: one row per (tenant, source, document key). A document that is read again, as the
overlap window does, stays one row.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg


class RejectedDocumentError(ValueError):
    """This document cannot be mapped: says why and where, and carries no value of it.

    Attributes:
        code: a stable word for the reason, such as ``amount_not_a_number``.
        path: where in the document, as a JSON path: ``$.inSegments[0].id``.
    """

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path


@dataclass(frozen=True)
class Rejection:
    """One document and why it was not taken."""

    document_key: str
    code: str
    path: str
    message: str
    document: dict[str, Any]
    profile_ids: list[str]

    @classmethod
    def of(
        cls, document_key: str, document: dict[str, Any], error: RejectedDocumentError, profile_ids: Iterable[str]
    ) -> "Rejection":
        """The record of a failed mapping; ``profile_ids`` are the people that the document is about."""
        return cls(document_key, error.code, error.path, str(error), document, list(profile_ids))


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
    """Keep these rejections; inside the transaction that moves the watermark past them."""
    if not rejections:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO ops.rejected_record AS r
                (tenant_id, source, document_key, code, path, message, document, profile_ids, revision)
            VALUES (%s, %s, %s, %s, %s, %s, %s::json, %s, %s)
            ON CONFLICT (tenant_id, source, document_key) DO UPDATE
            SET code = excluded.code, path = excluded.path, message = excluded.message, document = excluded.document,
                profile_ids = excluded.profile_ids, revision = excluded.revision,
                last_seen_at = now(), attempts = r.attempts + 1, resolved_at = NULL
            """,
            # The column is json, not jsonb, and the text is ASCII: NUL characters and lone surrogates, which are
            # often the very reason, survive as escapes.
            [
                (
                    *(tenant_id, source, r.document_key, r.code, r.path, r.message),
                    *(_as_json(r.document), r.profile_ids, r.document.get("_rev")),
                )
                for r in rejections
            ],
        )


def _as_json(document: Any) -> str:
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        # JSON has no word for NaN and infinity; as strings they stay readable and are rejected again.
        return json.dumps(json.loads(json.dumps(document), parse_constant=str))


def resolve(connection: psycopg.Connection, tenant_id: str, source: str, keys: Collection[str]) -> int:
    """Mark the records of these documents as taken; returns how many waited."""
    if not count_waiting(connection, tenant_id, source):
        return 0
    done = connection.execute(
        """
        UPDATE ops.rejected_record SET resolved_at = now()
        WHERE tenant_id = %s AND source = %s AND resolved_at IS NULL AND document_key = ANY(%s)
        """,
        [tenant_id, source, list(keys)],
    )
    return done.rowcount


def delete(connection: psycopg.Connection, tenant_id: str, source: str, keys: Collection[str]) -> None:
    """Delete the records of these documents."""
    connection.execute(
        "DELETE FROM ops.rejected_record WHERE tenant_id = %s AND source = %s AND document_key = ANY(%s)",
        [tenant_id, source, list(keys)],
    )


def resolve_unseen(connection: psycopg.Connection, tenant_id: str, source: str, since: datetime) -> int:
    """Mark the records as done that a full read, begun at ``since``, did not meet: their documents are gone."""
    done = connection.execute(
        """
        UPDATE ops.rejected_record SET resolved_at = now()
        WHERE tenant_id = %s AND source = %s AND resolved_at IS NULL AND last_seen_at < %s
        """,
        [tenant_id, source, since],
    )
    return done.rowcount


def waiting_documents(
    connection: psycopg.Connection, tenant_id: str, source: str, *, after: str, limit: int
) -> list[tuple[str, Any]]:
    """Key and document of records that wait, a page in the order of their keys, behind the key ``after``."""
    return connection.execute(
        """
        SELECT document_key, document FROM ops.rejected_record
        WHERE tenant_id = %s AND source = %s AND resolved_at IS NULL AND document_key > %s
        ORDER BY document_key LIMIT %s
        """,
        [tenant_id, source, after, limit],
    ).fetchall()


def waiting(connection: psycopg.Connection, tenant_id: str) -> list[RejectedRecord]:
    """The records of a tenant that still wait, oldest first."""
    rows = connection.execute(
        """
        SELECT source, document_key, code, path, message, document, first_seen_at, attempts
        FROM ops.rejected_record
        WHERE tenant_id = %s AND resolved_at IS NULL
        ORDER BY first_seen_at, source, document_key
        """,
        [tenant_id],
    ).fetchall()
    return [RejectedRecord(*row) for row in rows]


def count_waiting(connection: psycopg.Connection, tenant_id: str, source: str) -> int:
    """How many documents of this source wait."""
    row = connection.execute(
        "SELECT count(*) FROM ops.rejected_record WHERE tenant_id = %s AND source = %s AND resolved_at IS NULL",
        [tenant_id, source],
    ).fetchone()
    return int(row[0]) if row else 0
