"""What each table and column holds, for people and for the UI. Runs 0016_comments.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
