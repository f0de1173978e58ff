"""Syncs the people of one segment only: their profiles, then their conversions.

The watermarks of the collections do not move, because they are about all documents. Profiles that left the segment are
found by comparing with the rows that still name it, and are read again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from cdp_platform.customers.landing import SyncResult, land
from cdp_platform.customers.mappers import Mapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import Progress
from cdp_platform.errors import UnknownSegmentError
from cdp_platform.ops import locks
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction

_PAGE = 1000


@dataclass
class SegmentResult:
    """The result of a run over a segment.

    Attributes:
        landed: what was done with the documents that were read.
        members: profiles in the segment now.
        left: profiles that were in it when they were last read, and are not now.
    """

    landed: SyncResult = field(default_factory=SyncResult)
    members: int = 0
    left: int = 0


def sync_profiles(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    segment_id: str,
    *,
    progress: Progress = lambda _read, _total: None,
) -> SegmentResult:
    """Sync the profiles of a segment, and those that left it.

    Raises:
        BusyError: a sync of this tenant's profiles did not end in time; nothing was done.
        UnknownSegmentError: neither the source nor a row has the segment.
    """
    result = SegmentResult()
    with locks.syncing(connection, tenant.tenant_id, mapper.collection):
        before = set(_members(connection, tenant, segment_id))
        for batch in source.members(segment_id):
            result.landed.add(land(connection, tenant, mapper, batch))
            before.difference_update(batch.keys)
            progress(result.landed.read, None)
        result.members = result.landed.read
        if not result.members and not before and not source.has_segment(segment_id):
            raise UnknownSegmentError(
                f"Tenant {tenant.tenant_id} has no segment {segment_id}: nobody is or was in it. Is the id right?"
            )
        result.left = len(before)
        for keys in _pages(sorted(before)):
            result.landed.add(land(connection, tenant, mapper, source.documents(mapper.collection, keys)))
            progress(result.landed.read, None)
    return result


def sync_transactions(
    connection: psycopg.Connection,
    source: TenantSource,
    tenant: Tenant,
    mapper: Mapper,
    segment_id: str,
    *,
    progress: Progress = lambda _read, _total: None,
) -> SegmentResult:
    """Sync the conversions of a segment's profiles, which are those whose rows name it.

    Raises:
        BusyError: a sync of this tenant's conversions did not end in time; nothing was done.
    """
    result = SegmentResult()
    with locks.syncing(connection, tenant.tenant_id, mapper.collection):
        members = _members(connection, tenant, segment_id)
        result.members = len(members)
        for profile_ids in _pages(members):
            for batch in source.conversions(profile_ids):
                result.landed.add(land(connection, tenant, mapper, batch))
                progress(result.landed.read, None)
    return result


def _members(connection: psycopg.Connection, tenant: Tenant, segment_id: str) -> list[str]:
    """Profiles whose rows name the segment."""
    with tenant_transaction(connection, tenant.tenant_id):
        rows = connection.execute(
            "SELECT profile_id FROM customers.segment_member WHERE tenant_id = %s AND segment_id = %s ORDER BY 1",
            [tenant.tenant_id, segment_id],
        ).fetchall()
    return [row[0] for row in rows]


def _pages(keys: list[str]) -> Iterator[list[str]]:
    return (keys[at : at + _PAGE] for at in range(0, len(keys), _PAGE))
