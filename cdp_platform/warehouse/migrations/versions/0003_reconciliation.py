"""What keeps tables in step with their source beyond watermarks: runs 0003_reconciliation.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
