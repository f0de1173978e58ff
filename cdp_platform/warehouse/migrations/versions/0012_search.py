"""Embeddings: a search that finds its neighbours for every query. Runs 0012_search.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
