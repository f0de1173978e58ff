"""Adding to profiles of the CDP what enrichment found for the same person.

A contact and a profile are one person where the address that came with the contact is the profile's first or another
e-mail address, or that of a profile that was merged into it. The fields go into columns of
``customers.cdp_profiles`` that no sync writes, and from there into the text that is embedded.
"""

import psycopg

from cdp_platform.ops import erasure
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement


def add(connection: psycopg.Connection, tenant_id: str) -> int:
    """Add title, company, industry and seniority of enriched contacts to open profiles, in one transaction.

    The newest answer of a person counts. A profile that a sync is writing now is left to the next call.

    Args:
        connection: outside any transaction.
        tenant_id: whose contacts and profiles.

    Returns:
        Number of profiles that changed.
    """
    with tenant_transaction(connection, tenant_id):
        erasure.while_nobody_is_erased(connection, tenant_id)
        return connection.execute(statement("enrichment", "add_to_profiles"), {"tenant": tenant_id}).rowcount
