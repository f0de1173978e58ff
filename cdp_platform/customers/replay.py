"""Trying all rejected documents of a tenant again, after the mapping or the tenant's settings were mended."""

import psycopg

from cdp_platform.customers import sync
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.warehouse.tenants import Tenant


def replay(connection: psycopg.Connection, source: TenantSource, tenant: Tenant) -> dict[str, sync.SyncResult]:
    """What became of a tenant's waiting documents, by collection; see `sync.replay`."""
    mappers = (ProfileMapper(tenant, source.touchpoints), TransactionMapper(tenant))
    return {mapper.collection: sync.replay(connection, tenant, mapper) for mapper in mappers}
