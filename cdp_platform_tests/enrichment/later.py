"""Time that passes in the ledger, so that no test waits for it."""

from cdp_platform_tests.conftest import Warehouse

_LEDGER = """
UPDATE enrichment.provider_call SET handed_over_at = handed_over_at - %(by)s::interval,
    settled_at = settled_at - %(by)s::interval, phones_ask_at = phones_ask_at - %(by)s::interval
"""
_READINGS = "UPDATE enrichment.account_reading SET read_at = read_at - %(by)s::interval"


def pass_by(warehouse: Warehouse, time: str = "10 minutes") -> None:
    """All calls and readings of the account were so much earlier."""
    with warehouse.superuser() as connection:
        for statement in (_LEDGER, _READINGS):
            connection.execute(statement, {"by": time})
