"""Staging: every item of a feed is read into temporary tables, and compared with the catalogue by its hash.

No table of the catalogue is written here. One shard at a time is in memory. An item with the stored hash is unchanged
and is not read further.
"""

import gc
import json
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

import orjson
import psycopg
from psycopg import adapters, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from cdp_platform.catalog import items, jsonld
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.prices import OnlyOtherPricesError
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse import load
from cdp_platform.warehouse.connection import tenant_transaction
from cdp_platform.warehouse.statements import statement

_BATCH = 1000

_ENTRY = "int8 bool text text text bool bool text text text text text text text text timestamptz"
_GROUP = "int8 text text text text text text text text text[] text[] text[] jsonb jsonb bytea"
_PRODUCT = (
    "int8 text text text bool text text text text text text[] text[] text[] jsonb text text bool timestamptz text[]"
    " jsonb bytea"
)
_OFFER = "int8 text int4 text numeric text numeric numeric numeric int4 jsonb timestamptz text numeric text"
_TABLES = {"stage_entry": _ENTRY, "stage_group": _GROUP, "stage_product": _PRODUCT, "stage_offer": _OFFER}

# PostgreSQL's binary form of an array: dimensions, nulls and type of its elements; length and lower bound of each.
_ARRAY, _DIMENSION, _LENGTH = struct.Struct("!iiI"), struct.Struct("!ii"), struct.Struct("!i")
_TEXT, _TEXTS, _JSONB = adapters.types["text"].oid, adapters.types["text"].array_oid, adapters.types["jsonb"].oid

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


# URN and name of a group's brand, or the code of the reason why it has none.
_Brand = tuple[str | None, str | None, str | None]
_NO_BRAND: _Brand = (None, None, None)


@dataclass(frozen=True, slots=True)
class _Known:
    """An item with its keys and hash, before its other values are read.

    Attributes:
        brand: of a group, for its variants that name no brand.
    """

    entry: Entry
    is_group: bool
    item_id: str
    sku: str | None
    product_group_id: str | None
    brand: _Brand
    content: bytes
    digest: bytes


class _JsonDumper(Dumper):
    """Writes JSON that is already encoded."""

    format = Format.BINARY
    oid = _JSONB

    def dump(self, obj: bytes) -> bytes:
        """The version of the format, and the text."""
        return b"\x01" + obj


class _TextsDumper(Dumper):
    """Writes a list of texts, in half the time of psycopg's dumper for any list."""

    format = Format.BINARY
    oid = _TEXTS

    def dump(self, obj: list[str]) -> bytes:
        """Dimensions, whether there are nulls, and the type; length and lower bound; and each with its length."""
        if not obj:
            return _ARRAY.pack(0, 0, _TEXT)
        texts = [each.encode() for each in obj]
        lengths = map(_LENGTH.pack, map(len, texts))
        pieces = chain.from_iterable(zip(lengths, texts, strict=True))
        return b"".join((_ARRAY.pack(1, 0, _TEXT), _DIMENSION.pack(len(obj), 1), *pieces))


class Stage:
    """The temporary tables of one feed."""

    def __init__(
        self, connection: psycopg.Connection, tenant_id: str, organization_id: str, brands: Brands, now: datetime
    ) -> None:
        """For the feed of an organization, with the prices that hold at ``now``."""
        self._connection = connection
        self._tenant_id = tenant_id
        self._organization_id = organization_id
        self._brands = brands
        self._now = now
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

    def take(self, number: int, entries: Iterator[Entry]) -> None:
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

    def _take(self, shard: int, batch: list[Entry]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}
        known = []
        for entry in batch:
            self.items += 1
            found = self._known(entry)
            if isinstance(found, RejectedDocumentError):
                rows["stage_entry"].append(self._rejected(shard, entry, found, None))
            else:
                known.append((self.items, found))
        with tenant_transaction(self._connection, self._tenant_id):
            held = self._held([found for _, found in known])
            for number, found in known:
                self._stage(rows, shard, number, found, held.get((found.is_group, found.item_id)))
            for table, types in _TABLES.items():
                self._copy(table, types, rows[table])

    def _known(self, entry: Entry) -> _Known | RejectedDocumentError:
        try:
            is_group = items.is_group(entry)
            content = jsonld.canonical(entry.document)
            item = entry.document
            item_id = items.group_id(item, entry.path) if is_group else jsonld.item_id(item, entry.path)
            return _Known(
                entry,
                is_group,
                item_id,
                None if is_group else items.sku(item, entry.path),
                items.key_text(item, "productGroupID", entry.path) if is_group else None,
                self._brand(entry) if is_group else _NO_BRAND,
                content,
                jsonld.fingerprint(
                    content, self._brands.rules, items.inherited(entry.parent) if entry.parent is not None else b""
                ),
            )
        except RejectedDocumentError as error:
            return error

    def _brand(self, entry: Entry) -> _Brand:
        try:
            brand = self._brands.of(entry.document, entry.path)
        except RejectedDocumentError as error:
            return (None, None, error.code)
        return (*brand, None) if brand else _NO_BRAND

    def _held(self, known: list[_Known]) -> dict[tuple[bool, str], bytes]:
        """Hashes of the live rows of these items; an empty hash if prices may have changed since."""
        found: dict[tuple[bool, str], bytes] = {}
        for is_group, name in ((True, "held_groups"), (False, "held_products")):
            if ids := [each.item_id for each in known if each.is_group is is_group]:
                values = {
                    "tenant": self._tenant_id,
                    "organization": self._organization_id,
                    "ids": ids,
                    "now": self._now,
                }
                rows = self._connection.execute(statement("catalog", name), values, binary=True)
                found |= {(is_group, item_id): digest for item_id, digest in rows}
        return found

    def _stage(
        self, rows: dict[str, list[tuple[Any, ...]]], shard: int, number: int, found: _Known, held: bytes | None
    ) -> None:
        changed = held != found.digest
        if changed:
            try:
                if found.is_group:
                    rows["stage_group"].append(self._group(number, found))
                else:
                    product, offers = self._product(number, found)
                    rows["stage_product"].append(product)
                    rows["stage_offer"] += offers
            except RejectedDocumentError as error:
                rows["stage_entry"].append(self._rejected(shard, found.entry, error, found, number))
                return
        rows["stage_entry"].append(
            (
                *(number, found.is_group, found.item_id, found.sku, found.product_group_id),
                *(held is not None, changed, None, found.entry.path, None),
                *(self._document_key(shard, found.entry), None, *found.brand, None),
            )
        )

    def _group(self, number: int, found: _Known) -> tuple[Any, ...]:
        group = items.to_group(found.entry, self._brands)
        *columns, media = (getattr(group, name) for name in items.Group.__slots__)
        return (number, *columns, jsonld.canonical(media), found.content, found.digest)

    def _product(self, number: int, found: _Known) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
        product = items.to_product(found.entry, self._brands, self._now)
        return (
            (
                *(number, product.product_id, product.brand_id, product.brand_name, product.brand_id is None),
                *(product.group_id, product.sku, product.name, product.description, product.url, product.images),
                *(product.categories, product.category_ids, orjson.dumps(product.attributes), product.gtin),
                *(product.mpn, product.in_stock, product.prices_change_at, product.remarks),
                *(found.content, found.digest),
            ),
            [
                (
                    *(number, product.product_id, place, offer.seller_id, offer.price, offer.currency),
                    *(offer.list_price, offer.low_price, offer.high_price, offer.offer_count),
                    *(orjson.dumps(offer.other_prices), offer.price_valid_until),
                    *(offer.availability, offer.inventory_level, offer.url),
                )
                for place, offer in enumerate(product.offers, start=1)
            ],
        )

    def _rejected(
        self, shard: int, entry: Entry, error: RejectedDocumentError, found: _Known | None, number: int | None = None
    ) -> tuple[Any, ...]:
        is_group, item_id = (found.is_group, found.item_id) if found else _recognised(entry)
        brand = found.brand if found else self._brand(entry) if is_group else _NO_BRAND
        return (
            *(number or self.items, is_group, item_id, None, None, None, None),
            *(error.code, error.path, str(error), self._document_key(shard, entry)),
            *(json.dumps(jsonld.printable(entry.document)), *brand),
            error.changes_at if isinstance(error, OnlyOtherPricesError) else None,
        )

    def _document_key(self, shard: int, entry: Entry) -> str:
        return f"{self._organization_id} shard {shard} {entry.path}"

    def _copy(self, table: str, types: str, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        copy = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table))
        with self._connection.cursor() as cursor:
            for dumper in (_JsonDumper, _TextsDumper):
                cursor.adapters.register_dumper(None, dumper)
            with cursor.copy(copy) as writer:
                writer.set_types(types.split())
                for row in rows:
                    writer.write_row(row)


def _recognised(entry: Entry) -> tuple[bool | None, str | None]:
    """Kind and id of an invalid item, as far as they can be read; the row of that id stays."""
    try:
        is_group = items.is_group(entry)
        item_id = items.group_id(entry.document, "") if is_group else jsonld.item_id(entry.document)
        item_id.encode()
    except (RejectedDocumentError, UnicodeEncodeError):
        return None, None
    return is_group, item_id
