"""Erasing a person from every room, looking first whether there is such a person, and taking a mistake back.

A person is all profiles that the CDP merged, directly or through others; ``customers.erase_person`` finds them, with
their e-mail addresses and phone numbers, and gives the person to every store. `cdp_platform.ops.erasure` has the rules.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from cdp_platform.customers import profiles
from cdp_platform.customers.erasure_journal import ErasureJournal
from cdp_platform.customers.mappers import OF_PERSONS
from cdp_platform.customers.source import TenantSource
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import erasure, locks, watermark
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


@dataclass(frozen=True)
class Receipt:
    """The result of an erasure.

    Attributes:
        tenant_id: the tenant whose customer it was.
        profile_ids: the person's profiles: those that were asked for, and those merged with them.
        erased_before: those of them that had a tombstone already.
        rows: number of rows that each store lost.
        outside: number of changes outside the platform that this or an earlier erasure of the tenant asked for and that
            are not confirmed yet, by store. Only stores that have any.
        erased_at: the moment, UTC.
    """

    tenant_id: str
    profile_ids: list[str]
    erased_before: list[str]
    rows: dict[str, int]
    outside: dict[str, int] = field(default_factory=dict)
    erased_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def erase(
    connection: psycopg.Connection,
    tenant_id: str,
    profile_ids: Collection[str],
    journal: ErasureJournal | None = None,
) -> Receipt:
    """Erase the persons that these profiles belong to, in one transaction. Also for profiles that never came here.

    Args:
        connection: outside any transaction.
        tenant_id: the tenant whose customers they are.
        profile_ids: at least one profile of each person.
        journal: keeps the erasure outside the warehouse.

    Raises:
        ConfigurationError: the journal cannot be written; nobody was erased.
    """
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
        outside = erasure.unconfirmed_outside(connection, tenant_id)
        if journal is not None:
            journal.erased(tenant_id, found)
    return Receipt(tenant_id, sorted(found), sorted(before), rows, outside)


def erase_person(
    connection: psycopg.Connection, tenant_id: str, profile_ids: Sequence[str], addresses: Sequence[str] = ()
) -> tuple[list[str], list[str], dict[str, int]]:
    """Erase one person inside the tenant's transaction, which must not share the erasure lock as a writer.

    Args:
        connection: inside a transaction of the tenant.
        tenant_id: the tenant whose customer it is.
        profile_ids: profiles of one person.
        addresses: the person's e-mail addresses that are in no row.

    Returns:
        All profiles of the person, those that had a tombstone before, and the number of rows that each store lost.
    """
    row = connection.execute(
        "SELECT profile_ids, erased_before, lost FROM customers.erase_person(%s, %s, %s)",
        [tenant_id, list(profile_ids), list(addresses)],
    ).fetchone()
    assert row is not None  # noqa: S101 (a function with OUT parameters: one row always)
    return row


def not_here(connection: psycopg.Connection, tenant_id: str, profile_ids: Collection[str]) -> list[str]:
    """Those of the keys that no profile, purchase, rejected document or tombstone of the tenant has."""
    with tenant_transaction(connection, tenant_id):
        rows = connection.execute(
            statement("customers", "not_here"), {"tenant": tenant_id, "asked": sorted(set(profile_ids))}
        ).fetchall()
    return [row[0] for row in rows]


def not_in_source(source: TenantSource, profile_ids: Collection[str]) -> list[str]:
    """Those of the keys that no profile in the source has; raises SourceError if it cannot be asked."""
    known = set(source.documents(profiles.COLLECTION, sorted(profile_ids)).keys)
    return sorted(set(profile_ids) - known)


def lift(
    connection: psycopg.Connection,
    tenant_id: str,
    profile_ids: Collection[str],
    journal: ErasureJournal | None = None,
) -> list[str]:
    """Take back the erasure of these profiles, and of all that were erased as the same person.

    The next sync reads the tenant's source from its beginning, so it also finds profiles whose timestamps are old. What
    the source no longer has is lost, and profiles that it merged with another erased person stay erased.

    Returns:
        The profiles whose tombstones are gone.

    Raises:
        ConfigurationError: one of the profiles has no tombstone, and nothing was changed; or the journal, which is to
            say that the erasure was taken back, cannot be written.
        BusyError: a sync of this tenant did not end in time; nothing was changed.
    """
    with (
        locks.syncing(connection, tenant_id, OF_PERSONS[0]),
        locks.syncing(connection, tenant_id, OF_PERSONS[1]),
        tenant_transaction(connection, tenant_id),
    ):
        rows = connection.execute(
            "SELECT ops.lift_erasure(%s, %s, %s)", [tenant_id, profiles.COLLECTION, list(profile_ids)]
        ).fetchall()
        lifted = [row[0] for row in rows]
        if unknown := sorted(set(profile_ids) - set(lifted)):
            raise ConfigurationError(
                f"{', '.join(unknown)} of tenant {tenant_id} has no tombstone, so there is nothing to undo. "
                "Is the id right?"
            )
        for collection in OF_PERSONS:
            watermark.forget(connection, tenant_id, collection)
    if journal is not None:
        journal.lifted(tenant_id, lifted)
    return lifted
