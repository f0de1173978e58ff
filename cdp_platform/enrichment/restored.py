"""Paid calls and searches after a backup was restored: people may have been asked about since, for money."""

import psycopg

from cdp_platform.enrichment import calls
from cdp_platform.warehouse.statements import statement

LEDGER = "enrichment.provider_call"
_WHY = "the warehouse was restored from a backup, and people may have been asked about since"


def doubt(connection: psycopg.Connection, tenant_id: str) -> int:
    """Make every open call unknown, with its credits reserved and its contacts held; returns their number.

    Outside any transaction.
    """
    with calls.transaction(connection, tenant_id):
        rows = connection.execute(statement("enrichment", "restored_open"), {"tenant": tenant_id}).fetchall()
        return sum(calls.lose(connection, tenant_id, call_id, _WHY) for (call_id,) in rows)


def hold(connection: psycopg.Connection, tenant_id: str) -> int:
    """Let every search that was paid and not done fail, so that a person has it tried again; returns their number.

    Outside any transaction.
    """
    with calls.transaction(connection, tenant_id):
        connection.execute(
            "UPDATE enrichment.search SET status = 'enriching' WHERE tenant_id = %s AND status = 'paid'", [tenant_id]
        )
        return connection.execute(
            "UPDATE enrichment.search SET status = 'failed', status_reason = %s"
            " WHERE tenant_id = %s AND status = 'enriching'",
            [_WHY, tenant_id],
        ).rowcount
