"""Tables and triggers of customers that make a sync cheap. Runs 0027_faster_sync.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
