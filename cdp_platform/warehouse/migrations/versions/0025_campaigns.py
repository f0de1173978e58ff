"""The room campaigns: events, segments, audiences, consent, deliveries. Runs 0025_campaigns.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
