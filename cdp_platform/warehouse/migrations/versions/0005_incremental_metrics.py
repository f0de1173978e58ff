"""Metrics of touched customers only: runs 0005_incremental_metrics.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
