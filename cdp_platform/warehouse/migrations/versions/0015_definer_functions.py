"""Functions that act with their owner's rights resolve no name by a search path. Runs 0015_definer_functions.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
