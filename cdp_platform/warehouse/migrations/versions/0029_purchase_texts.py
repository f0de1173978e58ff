"""Texts of purchases that say what a person would say, indexes of a million vectors. Runs 0029_purchase_texts.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
