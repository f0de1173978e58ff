"""The room of referrals: links and their events, daily metrics, worksheets. Runs 0008_referrals.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
