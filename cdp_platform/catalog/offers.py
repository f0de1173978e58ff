"""What the offers of a product say: what it costs, whether it can be had, and from whom."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.jsonld import Document, many, text
from cdp_platform.warehouse.rejected import RejectedDocumentError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
_MAX_PRICE = Decimal(10) ** 15
_MAX_SCALE = 20
_CURRENCY = re.compile(r"[A-Z]{3}")
_AVAILABILITY = re.compile(r"(?:https?://(?:www\.)?schema\.org/|schema:)?([A-Za-z _-]+)/?")
# https://schema.org/ItemAvailability, and which of them can be bought now.
_AVAILABILITIES = {
    "backorder": ("BackOrder", False),
    "discontinued": ("Discontinued", False),
    "instock": ("InStock", True),
    "instoreonly": ("InStoreOnly", True),
    "limitedavailability": ("LimitedAvailability", True),
    "madetoorder": ("MadeToOrder", True),
    "onlineonly": ("OnlineOnly", True),
    "outofstock": ("OutOfStock", False),
    "preorder": ("PreOrder", False),
    "presale": ("PreSale", False),
    "reserved": ("Reserved", False),
    "soldout": ("SoldOut", False),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer of a product; the price is exact, in ``currency`` (ISO 4217)."""

    seller_id: str | None
    price: Decimal
    currency: str
    availability: str | None
    inventory_level: Decimal | None
    price_valid_until: datetime | None
    url: str | None


def read_offers(item: Document, path: str) -> list[Offer]:
    """The offers of an item, of which there are none, one or many; raises RejectedDocumentError."""
    stated = item.get("offers")
    found = []
    for at, each in enumerate(many(stated)):
        where = f"{path}.offers[{at}]" if isinstance(stated, list) else f"{path}.offers"
        if not isinstance(each, dict):
            raise RejectedDocumentError("offer_not_understood", where, "an offer is no object")
        if nested := many(each.get("offers")):
            # An AggregateOffer that has the offers it is made of.
            found += read_offers({"offers": nested}, where)
        else:
            found.append(_offer(each, where))
    return found


def _offer(offer: Document, path: str) -> Offer:
    specification: Any = next(iter(many(offer.get("priceSpecification"))), None)
    if not isinstance(specification, dict):
        specification = {}
    if _is_given(offer.get("price")):
        value, where = offer["price"], f"{path}.price"
    elif _is_given(specification.get("price")):
        value, where = specification["price"], f"{path}.priceSpecification.price"
    elif _is_given(offer.get("lowPrice")):
        value, where = offer["lowPrice"], f"{path}.lowPrice"
    else:
        raise RejectedDocumentError("price_missing", f"{path}.price", "an offer has no price")
    currency = text(offer, "priceCurrency", path) or text(specification, "priceCurrency", path)
    if currency is None:
        raise RejectedDocumentError("currency_missing", f"{path}.priceCurrency", "a price has no currency")
    if not _CURRENCY.fullmatch(currency.upper()):
        raise RejectedDocumentError("currency_unknown", f"{path}.priceCurrency", "a currency is no code of ISO 4217")
    level = offer.get("inventoryLevel")
    if isinstance(level, dict):
        level = level.get("value")
    return Offer(
        seller_id=_seller(offer),
        price=price(value, where),
        currency=currency.upper(),
        availability=_availability(offer, path),
        inventory_level=_exact(level, f"{path}.inventoryLevel", "inventory") if _is_given(level) else None,
        price_valid_until=_moment(offer, "priceValidUntil", path),
        url=text(offer, "url", path),
    )


def can_be_bought(availability: str) -> bool:
    """Whether an availability means that one can order now and get it."""
    return _AVAILABILITIES[availability.lower()][1]


def price(value: Any, path: str) -> Decimal:
    """A price, exactly as it is written.

    Raises:
        RejectedDocumentError: it is none, below zero, or larger or finer than any price.
    """
    found = _exact(value, path, "price")
    if found < 0:
        raise RejectedDocumentError("price_negative", path, "a price is below zero")
    return found


def _exact(value: Any, path: str, what: str) -> Decimal:
    if isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(value.strip()):
        found = Decimal(value.strip())
    elif isinstance(value, float):
        # The shortest decimal that gives this double is the literal: `jsonld.parse` reads longer ones as decimals.
        found = Decimal(repr(value))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        found = Decimal(value)
    else:
        raise RejectedDocumentError(f"{what}_not_a_number", path, f"the {what} is no number")
    scale = found.as_tuple().exponent
    if abs(found) >= _MAX_PRICE or (isinstance(scale, int) and scale < -_MAX_SCALE):
        raise RejectedDocumentError(f"{what}_out_of_range", path, f"the {what} is beyond anything usual")
    return found


def _availability(offer: Document, path: str) -> str | None:
    stated = jsonld.link(offer.get("availability"), f"{path}.availability")
    if stated is None:
        return None
    known = _known_availability(stated)
    if known is None:
        raise RejectedDocumentError(
            "availability_unknown", f"{path}.availability", "the availability is none of schema.org's"
        )
    return known


@lru_cache(maxsize=1000)
def _known_availability(stated: str) -> str | None:
    word = _AVAILABILITY.fullmatch(stated)
    known = _AVAILABILITIES.get(re.sub(r"[ _-]", "", word[1]).lower()) if word else None
    return known[0] if known else None


def _seller(offer: Document) -> str | None:
    stated = offer.get("seller")
    if isinstance(stated, str):
        return jsonld.as_urn(stated)
    return jsonld.identifier(stated, "cmp:orgId", "cmp:orgid") if isinstance(stated, dict) else None


def _moment(offer: Document, name: str, path: str) -> datetime | None:
    stated = text(offer, name, path)
    if stated is None:
        return None
    try:
        moment = datetime.fromisoformat(stated)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RejectedDocumentError("not_a_timestamp", f"{path}.{name}", f"{name} is no ISO 8601 time") from None


def _is_given(value: Any) -> bool:
    return value is not None and value != ""
