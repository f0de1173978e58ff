"""Schema `ops`: runs 0001_ops.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
