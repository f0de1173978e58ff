"""The gate of an outside account: turns in several windows, rests, a breaker. Runs 0020_gate.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
