"""Staging: every item of a feed is read into temporary tables, and compared with the catalogue by its hash.

No table of the catalogue is written here. One shard at a time is in memory. An item with the stored hash is unchanged
and is not read further.
"""

import gc
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Json

from cdp_platform.catalog import staged_rows
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.plain_items import PlainEntry
from cdp_platform.catalog.staged_rows import Columns, Known, Rows
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_BATCH = 1000

_TABLES = ("stage_entry", "stage_group", "stage_product", "stage_offer")

# Values that are unique in a feed: column, whether groups and products have it, code, message, last step of the path.
_UNIQUE = (
    ("item_id", [True, False], "duplicate_id", "an item of this @id came before it in the feed", "['@id']"),
    ("sku", [False], "duplicate_sku", "a product of this SKU came before it in the feed", ".sku"),
    (
        "product_group_id",
        [True],
        "duplicate_product_group_id",
        "a group of this productGroupID came before it in the feed",
        ".productGroupID",
    ),
)


class Stage:
    """The temporary tables of one feed."""

    def __init__(
        self, connection: psycopg.Connection, tenant_id: str, organization_id: str, brands: Brands, now: datetime
    ) -> None:
        """For the feed of an organization, with the prices that hold at ``now``."""
        self._connection = connection
        self._tenant_id = tenant_id
        self._organization_id = organization_id
        self._now = now
        self._rows = Rows(brands, now)
        self.items = 0

    @contextmanager
    def tables(self) -> Generator[None]:
        """Make the tables and drop them at the end; Python's cyclic garbage collector is off in between."""
        names = sql.SQL(", ").join(map(sql.Identifier, _TABLES))
        self._connection.execute(statement("catalog", "stage"))
        try:
            with load.collector_at_rest():
                yield
        finally:
            if not self._connection.closed:
                self._connection.execute(sql.SQL("DROP TABLE {}").format(names))

    def take(self, number: int, entries: Iterator[Entry | PlainEntry]) -> None:
        """Stage the items of the shard with this number."""
        while batch := list(islice(entries, _BATCH)):
            self._take(number, batch)
            del batch
        # Frees the cycles that reference counting left.
        gc.collect(0)

    def settle(self) -> None:
        """After the last shard, inside a transaction: give variants their groups' brands, and reject duplicates."""
        self._connection.execute(
            "ANALYZE stage_entry, stage_group (number, group_id), stage_product (number, product_id, group_id),"
            " stage_offer (number, product_id)"
        )
        values = {"tenant": self._tenant_id, "organization": self._organization_id}
        self._connection.execute(statement("catalog", "inherit_brands"))
        self._connection.execute(statement("catalog", "reject_brandless"), values)
        for column, groups, code, message, step in _UNIQUE:
            self._connection.execute(
                statement("catalog", "duplicates").format(value=sql.Identifier(column)),
                {"groups": groups, "code": code, "message": message, "step": step},
            )

    def _take(self, shard: int, batch: list[Entry | PlainEntry]) -> None:
        known, taken, rejected = [], [], []
        for entry in batch:
            self.items += 1
            try:
                known.append(self._rows.known(entry, self.items))
            except RejectedDocumentError as error:
                rejected.append(self._rows.rejected(entry, self.items, shard, error, None))
        with tenant_transaction(self._connection, self._tenant_id):
            held = self._held(known)
            changed = []
            for found in known:
                digest = held.get((found.is_group, found.item_id))
                if digest == found.digest:
                    taken.append(self._rows.taken(found, shard, held=True, changed=False))
                else:
                    changed.append((found, digest is not None))
            if changed:
                self._take_changed(shard, changed, taken, rejected)
            self._copy("stage_entry", staged_rows.TAKEN, taken)
            self._copy("stage_entry", staged_rows.REJECTED, rejected)

    def _take_changed(
        self,
        shard: int,
        changed: list[tuple[Known, bool]],
        taken: list[tuple[Any, ...]],
        rejected: list[tuple[Any, ...]],
    ) -> None:
        """Stage items that are new or changed; each with whether it has a live row."""
        groups, offers = [], []
        # PostgreSQL takes the first products while the next are read.
        with self._copying("stage_product", staged_rows.PRODUCT) as writer:
            for found, held in changed:
                try:
                    if found.is_group:
                        groups.append(self._rows.group(found))
                    else:
                        product, its_offers = self._rows.product(found)
                        writer.write_row(product)
                        offers += its_offers
                except RejectedDocumentError as error:
                    rejected.append(self._rows.rejected(found.entry, found.number, shard, error, found))
                else:
                    taken.append(self._rows.taken(found, shard, held=held, changed=True))
        self._copy("stage_group", staged_rows.GROUP, groups)
        self._copy("stage_offer", staged_rows.OFFER, offers)

    def _held(self, known: list[Known]) -> dict[tuple[bool, str], bytes]:
        """Hashes of the live rows of these items; an empty hash if prices may have changed since."""
        found: dict[tuple[bool, str], bytes] = {}
        for is_group, name in ((True, "held_groups"), (False, "held_products")):
            if ids := [each.item_id for each in known if each.is_group is is_group]:
                values = {
                    "tenant": self._tenant_id,
                    "organization": self._organization_id,
                    "ids": Json(ids),
                    "now": self._now,
                }
                rows = self._connection.execute(statement("catalog", name), values, binary=True)
                found |= {(is_group, item_id): digest for item_id, digest in rows}
        return found

    def _copy(self, table: str, columns: Columns, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            with self._copying(table, columns) as writer:
                for row in rows:
                    writer.write_row(row)

    def _copying(self, table: str, columns: Columns) -> AbstractContextManager[psycopg.Copy]:
        copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(table), sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
        )
        return load.binary_copy(self._connection, copy, [kind for _, kind in columns])
