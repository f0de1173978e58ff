"""The rows of the staging tables that the items of a feed become, with their values as a binary COPY takes them."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from psycopg import adapters

from cdp_platform.catalog import items, jsonld, plain_items
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry, Group, Product
from cdp_platform.catalog.plain_items import NotPlainError, PlainEntry
from cdp_platform.catalog.prices import OnlyOtherPricesError
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.warehouse import load

# Columns with their types. Arrays are encoded here, in less time than psycopg takes.
Columns = tuple[tuple[str, str], ...]

_ITEM = (
    *(("number", "int8"), ("is_group", "bool"), ("item_id", "text"), ("sku", "text"), ("product_group_id", "text")),
    *(("held", "bool"), ("changed", "bool"), ("shard", "int4"), ("item_path", "text")),
    *(("brand_id", "text"), ("brand_name", "text"), ("brand_code", "text")),
)
TAKEN: Columns = _ITEM
REJECTED: Columns = (
    *_ITEM,
    *(("code", "text"), ("path", "text"), ("message", "text"), ("document", "text"), ("changes_at", "timestamptz")),
)
GROUP: Columns = (
    *(("number", "int8"), ("group_id", "text"), ("brand_id", "text"), ("brand_name", "text")),
    *(("product_group_id", "text"), ("name", "text"), ("description", "text"), ("url", "text"), ("image", "text")),
    *(("categories", "bytea"), ("category_ids", "bytea"), ("varies_by", "bytea"), ("media", "jsonb")),
    *(("document", "jsonb"), ("document_hash", "bytea")),
)
PRODUCT: Columns = (
    *(("number", "int8"), ("product_id", "text"), ("brand_id", "text"), ("brand_name", "text")),
    *(("inherits_brand", "bool"), ("group_id", "text"), ("sku", "text"), ("name", "text"), ("description", "text")),
    *(("url", "text"), ("images", "bytea"), ("categories", "bytea"), ("category_ids", "bytea")),
    *(("attributes", "jsonb"), ("gtin", "text"), ("mpn", "text"), ("in_stock", "bool")),
    *(("prices_change_at", "timestamptz"), ("remarks", "bytea"), ("document", "jsonb"), ("document_hash", "bytea")),
)
OFFER: Columns = (
    *(("number", "int8"), ("product_id", "text"), ("offer_number", "int4"), ("seller_id", "text")),
    *(("price", "numeric"), ("currency", "text"), ("list_price", "numeric"), ("low_price", "numeric")),
    *(("high_price", "numeric"), ("offer_count", "int4"), ("other_prices", "jsonb")),
    *(("price_valid_until", "timestamptz"), ("availability", "text"), ("inventory_level", "numeric"), ("url", "text")),
)

# PostgreSQL's binary form of an array: dimensions, nulls and type of its elements; length and lower bound of each.
_ARRAY, _DIMENSION, _LENGTH = struct.Struct("!iiI"), struct.Struct("!ii"), struct.Struct("!i")
_TEXT = adapters.types["text"].oid
_NO_TEXTS = _ARRAY.pack(0, 0, _TEXT)
_ONE_TEXT = _ARRAY.pack(1, 0, _TEXT) + _DIMENSION.pack(1, 1)
_NO_VALUES = load.jsonb([])

# URN and name of a group's brand, or the code of the reason why it has none.
_Brand = tuple[str | None, str | None, str | None]
_NO_BRAND: _Brand = (None, None, None)


@dataclass(slots=True)
class Known:
    """An item with its keys and hash, before its other values are read.

    Attributes:
        number: its place in the feed.
        content: its canonical bytes.
        brand: of a group, for its variants that name no brand.
    """

    number: int
    entry: Entry | PlainEntry
    is_group: bool
    item_id: str
    sku: str | None
    product_group_id: str | None
    brand: _Brand
    content: bytes
    digest: bytes


class Rows:
    """Makes the rows of one feed.

    An item in its plain form is read by `plain_items`, and by `items` if that cannot.
    """

    def __init__(self, brands: Brands, now: datetime) -> None:
        """For an organization with these brands, with the prices that hold at ``now``."""
        self._brands = brands
        self._now = now
        self._plain = plain_items.Reader(brands, now)

    def known(self, entry: Entry | PlainEntry, number: int) -> Known:
        """Read the keys of an item, and its hash; raises RejectedDocumentError."""
        if isinstance(entry, PlainEntry):
            try:
                brand = self._plain.brand(entry.item) if entry.is_group else None
            except RejectedDocumentError:
                return self.known(entry.whole(), number)
            return Known(
                number,
                entry,
                entry.is_group,
                entry.item_id,
                entry.sku,
                entry.product_group_id,
                (*brand, None) if brand else _NO_BRAND,
                entry.content,
                jsonld.fingerprint(entry.content, self._brands.rules),
            )
        is_group = items.is_group(entry)
        content = jsonld.canonical(entry.document)
        item = entry.document
        beside = items.inherited(entry.parent) if entry.parent is not None else b""
        return Known(
            number,
            entry,
            is_group,
            items.group_id(item, entry.path) if is_group else jsonld.item_id(item, entry.path),
            None if is_group else items.sku(item, entry.path),
            items.key_text(item, "productGroupID", entry.path) if is_group else None,
            self._brand(entry) if is_group else _NO_BRAND,
            content,
            jsonld.fingerprint(content, self._brands.rules, beside),
        )

    def group(self, found: Known) -> tuple[Any, ...]:
        """The row of a group; raises RejectedDocumentError."""
        group = self._to_group(found.entry)
        return (
            *(found.number, group.group_id, group.brand_id, group.brand_name, group.product_group_id, group.name),
            *(group.description, group.url, group.image, _texts(group.categories), _texts(group.category_ids)),
            *(_texts(group.varies_by), b"\x01" + jsonld.canonical(group.media), b"\x01" + found.content, found.digest),
        )

    def product(self, found: Known) -> tuple[tuple[Any, ...], Iterator[tuple[Any, ...]]]:
        """The row of a product, and those of its offers; raises RejectedDocumentError."""
        product = self._to_product(found.entry)
        row = (
            *(found.number, product.product_id, product.brand_id, product.brand_name, product.brand_id is None),
            *(product.group_id, product.sku, product.name, product.description, product.url, _texts(product.images)),
            *(_texts(product.categories), _texts(product.category_ids), load.jsonb(product.attributes), product.gtin),
            *(product.mpn, product.in_stock, product.prices_change_at, _texts(product.remarks)),
            *(b"\x01" + found.content, found.digest),
        )
        return row, (
            (
                *(found.number, product.product_id, place, offer.seller_id, offer.price, offer.currency),
                *(offer.list_price, offer.low_price, offer.high_price, offer.offer_count),
                *(load.jsonb(offer.other_prices) if offer.other_prices else _NO_VALUES, offer.price_valid_until),
                *(offer.availability, offer.inventory_level, offer.url),
            )
            for place, offer in enumerate(product.offers, start=1)
        )

    def taken(self, found: Known, shard: int, *, held: bool, changed: bool) -> tuple[Any, ...]:
        """The row of an item that is not rejected."""
        return (
            *(found.number, found.is_group, found.item_id, found.sku, found.product_group_id, held, changed),
            *(shard, found.entry.path, *found.brand),
        )

    def rejected(
        self, entry: Entry | PlainEntry, number: int, shard: int, error: RejectedDocumentError, found: Known | None
    ) -> tuple[Any, ...]:
        """The row of a rejected item, with its keys as far as they were found."""
        entry = _whole(entry)
        is_group, item_id = (found.is_group, found.item_id) if found else _recognised(entry)
        brand = found.brand if found else self._brand(entry) if is_group else _NO_BRAND
        return (
            *(number, is_group, item_id, None, None, None, None, shard, entry.path, *brand),
            *(error.code, error.path, str(error), json.dumps(jsonld.printable(entry.document))),
            error.changes_at if isinstance(error, OnlyOtherPricesError) else None,
        )

    def _to_group(self, entry: Entry | PlainEntry) -> Group:
        if isinstance(entry, PlainEntry):
            try:
                return self._plain.group(entry)
            except (NotPlainError, RejectedDocumentError):
                entry = entry.whole()
        return items.to_group(entry, self._brands)

    def _to_product(self, entry: Entry | PlainEntry) -> Product:
        if isinstance(entry, PlainEntry):
            try:
                return self._plain.product(entry)
            except (NotPlainError, RejectedDocumentError):
                entry = entry.whole()
        return items.to_product(entry, self._brands, self._now)

    def _brand(self, entry: Entry) -> _Brand:
        try:
            brand = self._brands.of(entry.document, entry.path)
        except RejectedDocumentError as error:
            return (None, None, error.code)
        return (*brand, None) if brand else _NO_BRAND


def _whole(entry: Entry | PlainEntry) -> Entry:
    return entry.whole() if isinstance(entry, PlainEntry) else entry


def _texts(texts: list[str]) -> bytes:
    """A list of texts in PostgreSQL's binary form."""
    if not texts:
        return _NO_TEXTS
    if len(texts) == 1:
        only = texts[0].encode()
        return _ONE_TEXT + _LENGTH.pack(len(only)) + only
    encoded = [each.encode() for each in texts]
    pieces = chain.from_iterable(zip(map(_LENGTH.pack, map(len, encoded)), encoded, strict=True))
    return b"".join((_ARRAY.pack(1, 0, _TEXT), _DIMENSION.pack(len(encoded), 1), *pieces))


def _recognised(entry: Entry) -> tuple[bool | None, str | None]:
    """Kind and id of an invalid item, as far as they can be read; the row of that id stays."""
    try:
        is_group = items.is_group(entry)
        item_id = items.group_id(entry.document, "") if is_group else jsonld.item_id(entry.document)
        item_id.encode()
    except (RejectedDocumentError, UnicodeEncodeError):
        return None, None
    return is_group, item_id
