"""The role that backups read as, and what a restore needs. Runs 0034_backup.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
