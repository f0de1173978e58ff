"""Reads items in their plain form (`plain_form`) several times as fast as `items` does.

msgspec decodes and encodes them in C. They mean the same as in `items`, which is the rule: an item that is not plain,
or would be rejected, is left to `items`.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from cdp_platform.catalog import gtins, items, jsonld, offers, plain_form, prices
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry, Group, Product
from cdp_platform.catalog.plain_form import INTEGERS_END, Item, Party, Text
from cdp_platform.catalog.prices import Offer
from cdp_platform.catalog.stated_prices import MAX_AMOUNT
from cdp_platform.ops.rejected import RejectedDocumentError

_MOST_REMEMBERED = 10_000
# Fractions outside of these bounds are not written alike by orjson and msgspec.
_FRACTIONS_BEGIN, _FRACTIONS_END = 1e-4, 1e15

_Value = TypeVar("_Value")


class NotPlainError(Exception):
    """The item has to be read by `items`."""


_decode = msgspec.json.Decoder(Item, float_hook=Decimal).decode
_encode = msgspec.json.Encoder().encode
_gtins, _traits = attrgetter(*gtins.TERMS), attrgetter(*items.TRAITS)


# Reading -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PlainEntry:
    """One item of a shard in its plain form.

    Attributes:
        path: JSON path in the shard.
        raw: the item as it is written in the shard.
        item: the same, decoded.
        content: its canonical bytes, as `jsonld.canonical` has them.
        is_group: it is a product group rather than a product.
        sku: of a product.
        product_group_id: of a group.
    """

    path: str
    raw: Raw
    item: Item
    content: bytes
    is_group: bool
    item_id: str
    sku: str | None
    product_group_id: str | None

    def whole(self) -> Entry:
        """The item as `items` reads it."""
        return Entry(self.path, jsonld.parse(bytes(self.raw), "An item"))


def read(raw: Raw, path: str) -> PlainEntry | None:
    """An item, or None if it does not have the plain form, or has keys that `items` rejects."""
    try:
        item = _decode(raw)
        content = _canonical(item)
        # PostgreSQL stores no NUL.
        if b"\\u0000" in content:
            return None
        if item.type == "ProductGroup":
            group_id, number = _group_id(item.id), _key_text(item.product_group_id)
            return PlainEntry(path, raw, item, content, True, group_id, None, number)
        sku = _required(_key_text(item.sku))
        return PlainEntry(path, raw, item, content, False, _iri(item.id), sku, None)
    except (msgspec.MsgspecError, ArithmeticError, NotPlainError, RejectedDocumentError):
        return None


class Reader:
    """Reads the plain items of one feed."""

    def __init__(self, brands: Brands, now: datetime) -> None:
        """With the prices that hold at ``now``."""
        self._brands = brands
        self._now = now
        # A feed repeats the same few brands.
        self._found: dict[Party | Text, tuple[str, str] | None] = {}

    def brand(self, item: Item) -> tuple[str, str] | None:
        """URN and name of an item's brand; None if it names none."""
        stated = item.brand
        try:
            return self._found[stated]
        except KeyError:
            found = self._brands.of({} if stated is UNSET else {"brand": msgspec.to_builtins(stated)}, "$")
            if len(self._found) < _MOST_REMEMBERED:
                self._found[stated] = found
            return found

    def group(self, entry: PlainEntry) -> Group:
        """A product group, as `items.to_group`.

        Raises:
            NotPlainError, RejectedDocumentError: `items` has to read it.
        """
        item = entry.item
        brand_id, brand_name = _required(self.brand(item))
        categories, category_ids = _categories(item)
        images = _images(item)
        return Group(
            group_id=entry.item_id,
            brand_id=brand_id,
            brand_name=brand_name,
            product_group_id=entry.product_group_id,
            name=_required(_label(item.name)),
            description=_label(item.description),
            url=_text(item.url),
            image=images[0] if images else None,
            categories=categories,
            category_ids=category_ids,
            varies_by=item.varies_by or [],
            media=msgspec.to_builtins(item.media or item.at_media or []),
        )

    def product(self, entry: PlainEntry) -> Product:
        """A product, as `items.to_product`.

        Raises:
            NotPlainError, RejectedDocumentError: `items` has to read it.
        """
        item = entry.item
        brand_id, brand_name = self.brand(item) or (None, None)
        group_id = None if item.group is UNSET else _group_id(_required(item.group.id))
        if brand_id is None and group_id is None:
            raise NotPlainError
        categories, category_ids = _categories(item)
        taken, changes_at, remarks = self._offers(item)
        stock = [offers.can_be_bought(offer.availability) for offer in taken if offer.availability]
        gtin, more = _gtin(item)
        return Product(
            product_id=entry.item_id,
            brand_id=brand_id,
            brand_name=brand_name,
            group_id=group_id,
            sku=_required(entry.sku),
            name=_required(_label(item.name)),
            description=_label(item.description),
            url=_text(item.url),
            images=_images(item),
            categories=categories,
            category_ids=category_ids,
            attributes=_attributes(item),
            gtin=gtin,
            mpn=_text(item.mpn),
            in_stock=any(stock) if stock else None,
            offers=taken,
            prices_change_at=changes_at,
            remarks=sorted(remarks | more),
        )

    def _offers(self, item: Item) -> tuple[list[Offer], datetime | None, frozenset[str]]:
        stated = item.offers
        if stated is UNSET:
            return [], None, prices.NOTHING
        listed = stated if isinstance(stated, list) else [stated]
        if any(each.specification is not UNSET or each.valid_until is not UNSET for each in listed):
            document = {"offers": msgspec.to_builtins(stated, builtin_types=(Decimal,))}
            found = offers.read_offers(document, "$", self._now)
            return found.taken, found.changes_at, found.remarks
        taken, remarks = [], prices.NOTHING
        for each in listed:
            offer = _offer(each)
            taken.append(offer)
            remarks = remarks | offer.remarks if offer.remarks else remarks
        return taken, None, remarks


# Values --------------------------------------------------------------------------------------------------------------


def _canonical(item: Item) -> bytes:
    """The item as JSON with sorted keys, and equal numbers with equal digits, as `jsonld.canonical`."""
    stated = item.offers
    listed = stated if isinstance(stated, list) else [] if stated is UNSET else [stated]
    fractions = []
    for offer in listed:
        for priced in (offer, offer.specification):
            if priced is UNSET or priced.price is UNSET:
                continue
            price = priced.price
            if type(price) is Decimal:
                priced.price = _fraction(price)
                fractions.append((priced, price))
            elif type(price) is int:
                if not -INTEGERS_END < price < INTEGERS_END:
                    raise NotPlainError
            elif type(price) is not str:
                raise NotPlainError
    content = _encode(item)
    # The price has the digits that the feed states.
    for priced, price in fractions:
        priced.price = price
    return content


def _fraction(stated: Decimal) -> float:
    found = float(stated)
    if not _FRACTIONS_BEGIN <= found < _FRACTIONS_END or Decimal(repr(found)) != stated:
        raise NotPlainError
    return found


def _required(value: _Value | UnsetType | None) -> _Value:
    if value is None or value is UNSET:
        raise NotPlainError
    return value


def _iri(stated: str) -> str:
    return jsonld.item_id({"@id": stated})


@lru_cache(maxsize=_MOST_REMEMBERED)
def _group_id(stated: str) -> str:
    return items.group_id({"@id": stated}, "$")


def _key_text(stated: Text) -> str | None:
    return None if stated is UNSET else items.key_text({"it": stated}, "it", "$")


def _text(stated: Text) -> str | None:
    return None if stated is UNSET else jsonld.clean(stated)


def _label(stated: Text) -> str | None:
    found = _text(stated)
    return jsonld.unescaped(found) if found and "&" in found else found


# Names of attributes, and most of their values, repeat in a feed.
_known_label = lru_cache(maxsize=_MOST_REMEMBERED)(_label)
_known_value = lru_cache(maxsize=_MOST_REMEMBERED)(items.plain_value)


def _categories(item: Item) -> tuple[list[str], list[str]]:
    stated = item.category
    if stated is UNSET:
        return [], []
    return _known_categories(tuple(stated) if isinstance(stated, list) else stated)


@lru_cache(maxsize=_MOST_REMEMBERED)
def _known_categories(stated: str | tuple[str, ...]) -> tuple[list[str], list[str]]:
    return items.read_categories({"category": stated if isinstance(stated, str) else list(stated)}, "$")


def _images(item: Item) -> list[str]:
    stated = item.image
    listed = [stated] if isinstance(stated, str) else stated or []
    return [found for each in listed if (found := jsonld.clean(each))]


def _gtin(item: Item) -> tuple[str | None, frozenset[str]]:
    stated = {term: value for term, value in zip(gtins.TERMS, _gtins(item), strict=True) if value is not UNSET}
    return gtins.read_gtin(stated) if stated else (None, prices.NOTHING)


def _attributes(item: Item) -> dict[str, str]:
    traits = zip(items.TRAITS, _traits(item), strict=True)
    stated = [(term, items.plain_value(value)) for term, value in traits if value is not UNSET]
    for each in item.properties or ():
        name = _known_label(each.name) or _known_label(each.property_id)
        if name:
            stated.append((name, "" if each.value is UNSET else _known_value(each.value)))
    return items.joined(stated)


def _offer(stated: plain_form.Offer) -> Offer:
    found = prices.own_price(_required(stated.price), _text(stated.currency), "$")
    if stated.seller is not UNSET:
        found.seller_id = offers.seller_of({"seller": msgspec.to_builtins(stated.seller)})
    if stated.availability is not UNSET and (written := jsonld.clean(stated.availability)):
        found.availability = _required(offers.known_availability(written))
    if stated.inventory_level is not UNSET and stated.inventory_level.value is not UNSET:
        level = stated.inventory_level.value
        if abs(level) >= MAX_AMOUNT:
            raise NotPlainError
        found.inventory_level = Decimal(level)
    found.url = _text(stated.url)
    return found
