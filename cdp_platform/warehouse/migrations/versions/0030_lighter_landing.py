"""What a sync and the queue of texts write, with less work for the server. Runs 0030_lighter_landing.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
