"""Documents of erased persons in a batch: they are left out, and who was merged with such a person is erased too."""

from dataclasses import dataclass

import psycopg

from cdp_platform.customers import persons, profiles
from cdp_platform.customers.batches import Batch, Head
from cdp_platform.customers.documents import Document, key
from cdp_platform.customers.mappers import Mapper
from cdp_platform.ops import erasure, locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.resources.arango import parsed


@dataclass(frozen=True)
class ErasedDocuments:
    """The documents of a batch that are about erased persons.

    Attributes:
        left_out: keys of all of these documents.
        unread: profiles in a version that was not left out before. It may say that the person was merged, or have a new
            e-mail address.
    """

    left_out: set[str]
    unread: list[Document]

    @classmethod
    def of(cls, connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: Batch) -> "ErasedDocuments":
        """Look up tombstones of the documents and of their persons."""
        if not erasure.anybody_erased(connection, tenant.tenant_id):
            return cls(set(), [])
        known = erasure.erased(connection, tenant.tenant_id, mapper.collection, batch.keys)
        mentioned = [_persons(head, tenant, mapper) for head in batch.heads]
        everybody = set().union(*mentioned)
        gone = erasure.erased(connection, tenant.tenant_id, profiles.COLLECTION, everybody).keys()
        found = cls({each for each in batch.keys if each in known}, [])
        for source, head, each in zip(batch.sources, batch.heads, mentioned, strict=True):
            if gone.isdisjoint(each):
                continue
            found.left_out.add(head.key)
            is_read = known.get(head.key) == str(head.revision) and gone >= set(each)
            if mapper.collection == profiles.COLLECTION and not is_read:
                found.unread.append(parsed(source))
        return found


def leave_out_erased(
    connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: Batch
) -> tuple[set[str], int]:
    """Make erasures wait, and erase the profiles that belong to an erased person according to the batch.

    The documents that are left out get tombstones. The caller writes the others in the same transaction.

    Returns:
        Keys of the documents that are left out, and the number of profiles that were erased.
    """
    with connection.transaction() as shared:
        erasure.while_nobody_is_erased(connection, tenant.tenant_id)
        erased = ErasedDocuments.of(connection, tenant, mapper, batch)
        if erased.unread:
            # Releases the shared lock: two sessions that share it would wait for each other to hold it alone.
            raise psycopg.Rollback(shared)
    by_merge: set[str] = set()
    if erased.unread:
        # This transaction no longer shares the lock, so it can take it alone.
        locks.take(connection, locks.erasure(tenant.tenant_id))
        erased = ErasedDocuments.of(connection, tenant, mapper, batch)
    read: set[str] = set()
    while unread := [document for document in erased.unread if key(document) not in read]:
        read.update(map(key, unread))
        for document in unread:
            family, before, _ = persons.erase_person(
                connection, tenant.tenant_id, mapper.persons(document), mapper.addresses(document)
            )
            by_merge |= set(family) - set(before)
        _leave_out(connection, tenant, mapper, batch, erased.left_out)
        # A person who was erased in this loop may have more documents in this batch.
        erased = ErasedDocuments.of(connection, tenant, mapper, batch)
    _leave_out(connection, tenant, mapper, batch, erased.left_out)
    return erased.left_out, len(by_merge)


def _leave_out(connection: psycopg.Connection, tenant: Tenant, mapper: Mapper, batch: Batch, keys: set[str]) -> None:
    if keys:
        documents = [
            erasure.LeftOut(head.key, str(head.revision), _persons(head, tenant, mapper))
            for head in batch.heads
            if head.key in keys
        ]
        erasure.leave_out(
            connection, tenant.tenant_id, mapper.collection, documents, profile_source=profiles.COLLECTION
        )


def _persons(head: Head, tenant: Tenant, mapper: Mapper) -> list[str]:
    """The persons that a document is about; none if it belongs to another tenant."""
    return mapper.persons(head.of_persons()) if head.tenant_id in (None, tenant.tenant_id) else []
