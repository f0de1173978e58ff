"""The room of the catalogue: organizations, brands, products and offers. Runs 0007_catalog.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
