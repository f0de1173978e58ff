"""The queue of texts: a row per batch. Runs 0028_text_batches.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
