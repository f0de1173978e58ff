"""Erasing a person from every store, for good.

The rule lives in the database (migration 0013). ``ops.erase_person`` deletes a person, with all merged profiles, from
every table and leaves tombstones: the keys of their source documents. Triggers delete rows that come later, and erase
profiles that are merged with an erased one later. A room takes part by its tables and functions, as the migration says.

Writers of rows about persons share one lock of the tenant (`while_nobody_is_erased`), and an erasure has it alone, so
no row slips in between. A transaction that holds it waits for nothing but the database.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from cdp_platform.ops import locks
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Attributes:
        tenant_id: whose customer it was.
        profile_ids: the person's profiles: those that were asked for, and those merged with them.
        erased_before: those of them that had a tombstone already.
        rows: how many rows each store lost.
        erased_at: when, UTC.
    """

    tenant_id: str
    profile_ids: list[str]
    erased_before: list[str]
    rows: dict[str, int]
    erased_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class LeftOut:
    """A source document of an erased person.

    Attributes:
        key: of the document.
        revision: its ``_rev``.
        profile_ids: whom it is about.
    """

    key: str
    revision: str
    profile_ids: Sequence[str]


def erase(connection: psycopg.Connection, tenant_id: str, profile_ids: Collection[str]) -> Receipt:
    """Erase the persons that these profiles are of, in one transaction. Also for profiles that never came here."""
    found: set[str] = set()
    before: set[str] = set()
    rows: dict[str, int] = {}
    with tenant_transaction(connection, tenant_id):
        for profile_id in sorted(set(profile_ids)):
            if profile_id in found:
                continue
            family, erased_before, lost = erase_person(connection, tenant_id, [profile_id])
            before |= set(erased_before) - found
            found |= set(family)
            rows = {store: rows.get(store, 0) + number for store, number in lost.items()}
    return Receipt(tenant_id, sorted(found), sorted(before), rows)


def erase_person(
    connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str], addresses: Sequence[str] = ()
) -> tuple[list[str], list[str], dict[str, int]]:
    """Erase one person inside the tenant's transaction, which must not hold the lock as a writer.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: whose customer it is.
        profile_ids: of one person.
        addresses: e-mail addresses of theirs that no row has.

    Returns:
        All profiles of the person, those that had a tombstone before, and how many rows each store lost.
    """
    row = connection.execute(
        "SELECT profile_ids, erased_before, lost FROM ops.erase_person(%s, %s, %s)",
        [tenant_id, list(profile_ids), list(addresses)],
    ).fetchone()
    assert row is not None  # noqa: S101 (a function with OUT parameters: one row always)
    return row


def lift(connection: psycopg.Connection, tenant_id: str, profile_ids: Collection[str]) -> list[str]:
    """Take back the tombstones of these persons, inside the tenant's transaction; returns all their profiles."""
    rows = connection.execute("SELECT ops.lift_erasure(%s, %s)", [tenant_id, list(profile_ids)]).fetchall()
    return [row[0] for row in rows]


def while_nobody_is_erased(connection: psycopg.Connection, tenant_id: str) -> None:
    """Keep erasures of this tenant waiting until the caller's transaction ends; waits for one that is under way."""
    locks.share(connection, locks.erasure(tenant_id))


def leave_out(connection: psycopg.Connection, tenant_id: str, source: str, documents: Iterable[LeftOut]) -> None:
    """Leave tombstones for documents of erased persons, which say which version was left out."""
    documents = list(documents)
    connection.execute(
        statement("ops", "leave_out"),
        {
            "tenant": tenant_id,
            "source": source,
            "keys": [document.key for document in documents],
            "revisions": [document.revision for document in documents],
            # One of them is enough to find the person by; a text holds no array of arrays of different lengths.
            "profiles": ["\n".join(document.profile_ids) for document in documents],
        },
    )


def anybody_erased(connection: psycopg.Connection, tenant_id: str) -> bool:
    """Whether the tenant has any tombstone: most have none, and need not look for each document."""
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
