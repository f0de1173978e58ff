"""Exports of worksheets have the states of all effects. Runs 0023_export_states.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
