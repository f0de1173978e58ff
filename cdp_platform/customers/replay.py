"""Tries all rejected documents of a tenant again, after the mapping or the tenant's settings were corrected."""

import psycopg

from cdp_platform.customers import sync
from cdp_platform.customers.landing import SyncResult
from cdp_platform.customers.mappers import COLLECTIONS, mapper_of
from cdp_platform.customers.source import TenantSource
from cdp_platform.ops.tenants import Tenant


def replay(connection: psycopg.Connection, source: TenantSource, tenant: Tenant) -> dict[str, SyncResult]:
    """Replay a tenant's rejected documents; returns the result of each collection. See `sync.replay`."""
    mappers = [mapper_of(collection, tenant, source) for collection in COLLECTIONS]
    return {mapper.collection: sync.replay(connection, tenant, mapper) for mapper in mappers}
