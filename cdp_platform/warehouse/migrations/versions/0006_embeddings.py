"""The room of embeddings: queue, models, vectors and search. Runs 0006_embeddings.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
