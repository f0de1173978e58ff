"""Catalogue: prices beside the one that is paid, ranges, brands of groups; metrics are set for currencies that exist.

Runs 0009_prices.sql, and has the list of currencies from where the whole platform has it.
"""

from alembic import op

from cdp_platform import currencies
from cdp_platform.warehouse.migrate import run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL file beside this one, then constrain the currencies. Rows that are there already stay as they are."""
    run_sql_beside(__file__)
    # XXX, none, is what purchases without a currency are counted under; * is for every currency.
    codes = ", ".join(f"'{code}'" for code in sorted({"*", "XXX", *currencies.money()}))
    op.execute(
        "ALTER TABLE customers.tenant_metrics_config ADD CONSTRAINT currency_is_money"
        f" CHECK (currency IN ({codes})) NOT VALID"
    )
