"""Alerts: what is wrong, since when, and whom it was told. Runs 0032_alerts.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
