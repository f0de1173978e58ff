"""Erasing a person from every room. A room that keeps something of persons lists its stores here."""

from collections.abc import Collection

import psycopg

from cdp_platform.customers import erasure as customers
from cdp_platform.embeddings import erasure as embeddings
from cdp_platform.referrals import erasure as referrals
from cdp_platform.warehouse import erasure
from cdp_platform.warehouse.erasure import Receipt
from cdp_platform.warehouse.tenants import Tenant

# What is made of other rooms' rows comes before them.
STORES = (*embeddings.STORES, *referrals.STORES, *customers.STORES)


def erase_person(connection: psycopg.Connection, tenant: Tenant, profile_ids: Collection[str]) -> Receipt:
    """Delete these profiles, and all that were merged with them, from every store; they do not come back.

    Also for profiles that never came here: their tombstones keep them out.
    """
    person = customers.profiles_of_person(connection, tenant.tenant_id, profile_ids)
    return erasure.erase(connection, tenant.tenant_id, person, STORES)
