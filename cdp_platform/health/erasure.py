"""Erasing a person from every room, looking before whether there is such a person, and taking a mistake back."""

from collections.abc import Collection

import psycopg

from cdp_platform.customers import profiles
from cdp_platform.customers.mappers import COLLECTIONS
from cdp_platform.customers.source import TenantSource
from cdp_platform.errors import ConfigurationError
from cdp_platform.ops import erasure, locks, watermark
from cdp_platform.ops.erasure import Receipt
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


def erase_person(connection: psycopg.Connection, tenant: Tenant, profile_ids: Collection[str]) -> Receipt:
    """Delete these profiles, and all that were merged with them, from every store; they do not come back.

    Also for profiles that never came here: their tombstones keep them out.
    """
    return erasure.erase(connection, tenant.tenant_id, profile_ids)


def not_here(connection: psycopg.Connection, tenant: Tenant, profile_ids: Collection[str]) -> list[str]:
    """Those of the keys that no profile, purchase, rejected document or tombstone of the tenant has."""
    with tenant_transaction(connection, tenant.tenant_id):
        rows = connection.execute(
            statement("health", "not_here"), {"tenant": tenant.tenant_id, "asked": sorted(set(profile_ids))}
        ).fetchall()
    return [row[0] for row in rows]


def not_in_source(source: TenantSource, profile_ids: Collection[str]) -> list[str]:
    """Those of the keys that no profile in the source has; raises SourceError if it cannot be asked."""
    known = {document["_key"] for document in source.documents(profiles.COLLECTION, sorted(profile_ids))}
    return sorted(set(profile_ids) - known)


def lift(connection: psycopg.Connection, tenant: Tenant, profile_ids: Collection[str]) -> list[str]:
    """Take back the erasure of these profiles, and of all that were erased as the same person.

    The next sync reads the tenant's source from its beginning, so they come back however old their stamps are. What the
    source does not have any more is lost, and profiles that it merged with another erased person stay erased.

    Returns:
        The profiles whose tombstones are gone.

    Raises:
        ConfigurationError: one of the profiles has no tombstone; nothing was changed.
        BusyError: a sync of this tenant did not end in time; nothing was changed.
    """
    with (
        locks.held(connection, locks.sync(tenant.tenant_id, COLLECTIONS[0])),
        locks.held(connection, locks.sync(tenant.tenant_id, COLLECTIONS[1])),
        tenant_transaction(connection, tenant.tenant_id),
    ):
        lifted = erasure.lift(connection, tenant.tenant_id, profile_ids)
        if unknown := sorted(set(profile_ids) - set(lifted)):
            raise ConfigurationError(
                f"{', '.join(unknown)} of tenant {tenant.tenant_id} has no tombstone, so nothing is to be undone. "
                "Is the id right?"
            )
        for collection in COLLECTIONS:
            watermark.forget(connection, tenant.tenant_id, collection)
    return lifted
