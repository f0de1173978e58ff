"""The hash of an e-mail address and the tenants' secrets belong to all rooms. Runs 0017_addresses.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
