"""Leases of work, spend, and states of effects, for the tables of any room. Runs 0021_mechanisms.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
