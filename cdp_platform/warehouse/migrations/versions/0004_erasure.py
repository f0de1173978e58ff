"""Tombstones of erased persons: runs 0004_erasure.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
