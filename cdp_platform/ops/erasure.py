"""Keeping erased persons out, for good.

The rules live in the database. A room declares each table that keeps something of persons with ``ops.keep_erased_out``.
That makes the table a store: ``ops.erase_person`` goes through all stores and leaves tombstones, which are the keys of
the person's source documents and the hashes of their addresses. Triggers of the store delete rows that come later.
`cdp_platform.customers.persons` knows who a person is, and starts an erasure.

Writers of stores share one lock of the tenant until their transaction ends, and an erasure has it alone, so no row
slips in between. A trigger takes it before a statement locks its first row. Two kinds of transactions call
`while_nobody_is_erased` first: one that looks for tombstones itself, and one that locks rows of a store in which only
some rows are about persons. A transaction that shares the lock waits for nothing but the database.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from cdp_platform.ops import locks
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class LeftOut:
    """A source document of an erased person.

    Attributes:
        key: of the document.
        revision: the version of the document, as its source names it.
        profile_ids: keys of the profiles that it is about.
    """

    key: str
    revision: str
    profile_ids: Sequence[str]


def while_nobody_is_erased(connection: psycopg.Connection, tenant_id: str) -> None:
    """Keep erasures of this tenant waiting until the caller's transaction ends; waits for one that is under way."""
    locks.share(connection, locks.erasure(tenant_id))


def leave_out(
    connection: psycopg.Connection, tenant_id: str, source: str, documents: Iterable[LeftOut], *, profile_source: str
) -> None:
    """Leave tombstones for documents of erased persons, which say which version was left out.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: the tenant.
        source: of the documents.
        documents: at least one of each document's profiles has a tombstone, from which the document's gets its person.
        profile_source: the source that the tombstones of profiles name.
    """
    pairs = [(document, profile_id) for document in documents for profile_id in document.profile_ids or (None,)]
    connection.execute(
        statement("ops", "leave_out"),
        {
            "tenant": tenant_id,
            "source": source,
            "profile_source": profile_source,
            "keys": [document.key for document, _ in pairs],
            "revisions": [document.revision for document, _ in pairs],
            "profiles": [profile_id for _, profile_id in pairs],
        },
    )


def anybody_erased(connection: psycopg.Connection, tenant_id: str) -> bool:
    """Whether the tenant has any tombstone. Most have none, which saves looking for each document."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ops.erased_document WHERE tenant_id = %s)", [tenant_id]
    ).fetchone()
    return bool(row and row[0])


def erased(
    connection: psycopg.Connection, tenant_id: str, source: str, document_keys: Iterable[str]
) -> Mapping[str, str | None]:
    """Those of the documents that have a tombstone, with the revision that was left out last."""
    return dict(
        connection.execute(
            "SELECT document_key, revision FROM ops.erased_document"
            " WHERE tenant_id = %s AND source = %s AND document_key = ANY(%s)",
            [tenant_id, source, list(document_keys)],
        ).fetchall()
    )


def unconfirmed_outside(connection: psycopg.Connection, tenant_id: str) -> dict[str, int]:
    """Changes outside the platform that erasures asked for and that are not confirmed yet, by store that has any.

    Inside a transaction of the tenant. The store's room carries the changes out.
    """
    query = "SELECT store, open FROM ops.erasures_outside(%s) WHERE open > 0"
    return dict(connection.execute(query, [tenant_id]).fetchall())
