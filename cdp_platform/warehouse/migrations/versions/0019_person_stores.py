"""Tables that keep something of persons are declared. Runs 0019_person_stores.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
