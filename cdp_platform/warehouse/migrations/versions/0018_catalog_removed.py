"""Catalogue rows whose document left the source have `removed_at`. Runs 0018_catalog_removed.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
