"""Embeddings use the gate and the spend of all rooms. Runs 0022_embedding_gate.sql."""

from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)
