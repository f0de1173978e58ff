"""Deletes products that were removed long ago, categories that nothing uses, and old rounds.

Rows are counted before they are deleted. If more than a set share of a table would go, a person has to allow it.
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

# Up to this number of rows a deletion is never blocked.
_FREE = 100
MAX_SHARE = 0.5

# Tables in the order of deletion: dependent rows first. Of each organization the newest round and the newest one that
# did not fail stay, because the next round needs them.
_STEPS = ("offer", "product", "product_group", "brand_category", "organization_category", "category", "feed_round")
# Deletions from these tables are never blocked: their rows belong to deleted products, or are only a record.
_UNBRAKED = frozenset({"feed_round", "offer"})


@dataclass(frozen=True)
class Cleaned:
    """The result of a cleanup in one table.

    Attributes:
        table: in the schema ``catalog``.
        rows: there before.
        due: those of them that are past their retention.
        deleted: those that were deleted; 0 in a dry run.
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
        dry_run: count and delete nothing.
        max_share: share of a table that may be deleted at once, 0 to 1.

    Raises:
        BlockedError: more than that share of a table is due; nothing was deleted.
    """
    kept = settings.catalog()
    values = {
        "tenant": tenant_id,
        "products_until": timedelta(days=kept.product_retention_days),
        "rounds_until": timedelta(days=kept.round_retention_days),
    }
    brake = Brake(max_share=max_share, free=_FREE)
    found = []
    # Some rows are due only after others are deleted, so a dry run deletes too, and rolls back.
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
                    f" {max_share:.0%}. Nothing was deleted. `cdp catalog cleanup --dry-run` shows all; if it is right,"
                    " allow it once with --max-share 1."
                )
    return found
