"""What may go for good: products long tombstoned, categories that nothing has, and old rounds.

Nothing is deleted before it was counted, and what would take more than a set share of a table waits for a person.
"""

from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from cdp_platform import settings
from cdp_platform.errors import BlockedError
from cdp_platform.ops.brake import Brake
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

# Rows of a table that may go whatever share of it they are; more only up to the share.
_FREE = 100
MAX_SHARE = 0.5

# Each in an order in which what depends on others goes first. The newest round of an organization, and the newest that
# did not fail, are what the next one builds on and stay.
_STEPS = ("offer", "product", "product_group", "brand_category", "organization_category", "category", "feed_round")
# These are whatever the feeds once said; as many of them as there are may go.
_UNBRAKED = frozenset({"feed_round", "offer"})


@dataclass(frozen=True)
class Cleaned:
    """What a cleanup found and did in one table.

    Attributes:
        table: in the schema ``catalog``.
        rows: there before.
        due: of those, how many may go.
        deleted: how many went; none in a dry run.
    """

    table: str
    rows: int
    due: int
    deleted: int


def clean(
    connection: psycopg.Connection, tenant_id: str, *, dry_run: bool, max_share: float = MAX_SHARE
) -> list[Cleaned]:
    """Delete what is past its retention (`settings.CatalogSettings`), of one tenant, in one transaction.

    Args:
        connection: of the platform's role, outside any transaction.
        tenant_id: whose rows they are.
        dry_run: count what is due and delete nothing.
        max_share: of a table that may go at once, 0 to 1; 1 for a person who has looked.

    Raises:
        BlockedError: more than that is due in a table; nothing was deleted.
    """
    kept = settings.catalog()
    values = {
        "tenant": tenant_id,
        "products_until": timedelta(days=kept.product_retention_days),
        "rounds_until": timedelta(days=kept.round_retention_days),
    }
    brake = Brake(max_share=max_share, free=_FREE)
    found = []
    # What depends on rows that go is due only once they went: counted by going, which a dry run takes back.
    with tenant_transaction(connection, tenant_id), connection.transaction(force_rollback=dry_run):
        for table in _STEPS:
            name = sql.Identifier("catalog", table)
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(name), [tenant_id]
            ).fetchone()
            rows = row[0] if row else 0
            due = connection.execute(statement("catalog", f"clean_{table}"), values).rowcount
            found.append(Cleaned(table, rows, due, 0 if dry_run else due))
        for each in found:
            if not dry_run and each.table not in _UNBRAKED and brake.stops(each.due, each.rows):
                raise BlockedError(
                    f"{each.due} of {each.rows} rows of catalog.{each.table} would be deleted, more than"
                    f" {max_share:.0%}. Nothing was. `cdp catalog cleanup --dry-run` shows all; if it is right, allow a"
                    " larger share once."
                )
    return found
