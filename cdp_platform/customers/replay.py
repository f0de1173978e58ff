"""Trying rejected documents again, after the mapping or a tenant's settings were mended."""

import psycopg

from cdp_platform.customers.profiles import COLLECTION as PROFILES
from cdp_platform.customers.profiles import ProfileMapper
from cdp_platform.customers.source import TenantSource
from cdp_platform.customers.sync import Mapper, SyncResult, land
from cdp_platform.customers.transactions import COLLECTION as TRANSACTIONS
from cdp_platform.customers.transactions import TransactionMapper
from cdp_platform.warehouse import rejected
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.tenants import Tenant


def replay(connection: psycopg.Connection, source: TenantSource, tenant: Tenant) -> dict[str, SyncResult]:
    """Map and load every waiting document of a tenant again; those that fail again go on waiting.

    The kept document is the newest version that was seen: a newer one that was taken has ended the waiting.

    Returns:
        What became of them, by collection.
    """
    mappers: dict[str, Mapper] = {
        PROFILES: ProfileMapper(tenant, source.touchpoints),
        TRANSACTIONS: TransactionMapper(tenant),
    }
    outcome = {}
    for collection, mapper in mappers.items():
        with tenant_transaction(connection, tenant.tenant_id):
            documents = [r.document for r in rejected.waiting(connection, tenant.tenant_id, collection)]
            mapper.prepare(documents)
            outcome[collection] = land(connection, tenant, mapper, documents)
    return outcome
