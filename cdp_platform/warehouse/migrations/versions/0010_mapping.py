"""Customers: what a row says of phones, moments and consent. Runs 0010_mapping.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
