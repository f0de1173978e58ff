"""Messages and events after a backup was restored: what was due since may have been sent.

Message keys are hashes that a restored warehouse makes again, so a provider that honours them refuses a second message.
That is not relied upon: no such delivery goes out by itself.
"""

import psycopg

from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

LEDGER = "campaigns.delivery_log"


def doubt(connection: psycopg.Connection, tenant_id: str) -> int:
    """Make every delivery unknown that may have been handed over by now; returns their number.

    One that is due later was not handed over. Outside any transaction.
    """
    with tenant_transaction(connection, tenant_id):
        connection.execute(statement("campaigns", "restored_handed_over"), {"tenant": tenant_id})
        return connection.execute(statement("campaigns", "restored_unknown"), {"tenant": tenant_id}).rowcount


def pause(connection: psycopg.Connection, tenant_id: str) -> int:
    """Pause every event that ran, or may have begun by now; returns their number. Outside any transaction."""
    with tenant_transaction(connection, tenant_id):
        connection.execute(statement("campaigns", "restored_begun"), {"tenant": tenant_id})
        return connection.execute(statement("campaigns", "restored_paused"), {"tenant": tenant_id}).rowcount
