"""When each tenant's source was looked at, and what was seen. Runs 0031_source_looks.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
