"""Customers: RFM, and the expected spend of a fitted model. Runs 0011_customer_value.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
