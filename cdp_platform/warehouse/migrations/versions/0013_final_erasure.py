"""Erasure that holds whatever the order of merge and sync. Runs 0013_final_erasure.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
