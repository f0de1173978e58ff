"""The room enrichment. Runs 0026_enrichment.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
