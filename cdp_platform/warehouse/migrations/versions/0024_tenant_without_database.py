"""A tenant may have no ArangoDB database. Runs 0024_tenant_without_database.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
