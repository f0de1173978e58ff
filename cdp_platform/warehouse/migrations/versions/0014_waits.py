"""Limits of waiting, and the runs of commands. Runs 0014_waits.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
