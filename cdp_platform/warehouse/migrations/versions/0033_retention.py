"""What is kept how long in Dagster's tables and in ours. Runs 0033_retention.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
