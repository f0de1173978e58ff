"""What the offers of a product say: what it costs, whether it can be had, and from whom."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.jsonld import Document, many, single, text
from cdp_platform.catalog.prices import NOTHING, OnlyOtherPricesError, Price, read_price
from cdp_platform.catalog.stated_prices import is_given, read_number
from cdp_platform.ops.rejected import RejectedDocumentError

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


# What an AggregateOffer says of the offers in it, unless they say otherwise.
_INHERITED = (
    "availability businessFunction eligibleCustomerType eligibleQuantity eligibleTransactionVolume priceCurrency"
    " priceValidUntil seller validForMemberTier validFrom validThrough"
).split()


# These are not frozen: that takes longer to make, and a feed has one for every product.
@dataclass(slots=True)
class Offer:
    """An offer of a product; amounts are exact, in ``currency`` (ISO 4217).

    Attributes:
        price: what an ordinary customer pays now for one; of a range, its lower end.
        list_price: what ``price`` is compared with: a list price, else a struck-through, regular or suggested one.
        low_price, high_price: of the range that the offer stands for; None for an offer of one price.
        offer_count: of offers in that range.
        other_prices: every other price that is stated, see `Price.others`.
        price_valid_until: the last moment at which ``price`` holds.
    """

    seller_id: str | None
    price: Decimal
    currency: str
    list_price: Decimal | None
    low_price: Decimal | None
    high_price: Decimal | None
    offer_count: int | None
    other_prices: list[dict[str, Any]]
    price_valid_until: datetime | None
    availability: str | None
    inventory_level: Decimal | None
    url: str | None


@dataclass(slots=True)
class Offers:
    """The offers of a product that anybody can have now.

    Attributes:
        changes_at: when another price of any of its offers may hold.
        remarks: codes of what was noticed.
    """

    taken: list[Offer]
    changes_at: datetime | None
    remarks: frozenset[str]


def read_offers(item: Document, path: str, now: datetime) -> Offers:
    """The offers of an item, of which there are none, one or many, as of a moment.

    An offer that has only prices for others is left out beside one that has a price for anybody, which keeps them.

    Raises:
        OnlyOtherPricesError: none of its offers has a price for anybody.
        RejectedDocumentError: an offer cannot be understood.
    """
    taken: list[Offer] = []
    others: list[dict[str, Any]] = []
    moments: list[datetime | None] = []
    remarks: frozenset[str] = NOTHING
    refused: OnlyOtherPricesError | None = None
    for each, where in _flat(item.get("offers"), f"{path}.offers"):
        try:
            found = read_price(each, where, now)
        except OnlyOtherPricesError as error:
            refused = refused or error
            others += error.others
            moments.append(error.changes_at)
        else:
            taken.append(_offer(each, where, found))
            moments.append(found.changes_at)
            remarks = remarks | found.remarks if found.remarks else remarks
    changes_at = min(filter(None, moments), default=None)
    if refused and not taken:
        raise OnlyOtherPricesError(refused.path, others, changes_at)
    if others:
        taken[0] = replace(taken[0], other_prices=[*taken[0].other_prices, *others])
    return Offers(taken, changes_at, remarks)


def _flat(stated: Any, path: str) -> list[tuple[Document, str]]:
    """Every offer with its path; of an AggregateOffer that has offers, those."""
    found = []
    for at, each in enumerate(many(stated)):
        where = f"{path}[{at}]" if isinstance(stated, list) else path
        if not isinstance(each, dict):
            raise RejectedDocumentError("offer_not_understood", where, "an offer is no object")
        nested = each.get("offers")
        if many(nested):
            outer = {name: each[name] for name in _INHERITED if name in each}
            found += [(outer | inner, place) for inner, place in _flat(nested, f"{where}.offers")]
        else:
            found.append((each, where))
    return found


def _offer(offer: Document, path: str, price: Price) -> Offer:
    level = single(offer.get("inventoryLevel"))
    if isinstance(level, dict):
        level = single(level.get("value"))
    return Offer(
        seller_id=_seller(offer),
        price=price.amount,
        currency=price.currency,
        list_price=price.list_price,
        low_price=price.low,
        high_price=price.high,
        offer_count=price.count,
        other_prices=price.others,
        price_valid_until=price.valid_until,
        availability=_availability(offer, path),
        inventory_level=read_number(level, f"{path}.inventoryLevel", "inventory") if is_given(level) else None,
        url=text(offer, "url", path),
    )


def can_be_bought(availability: str) -> bool:
    """Whether an availability means that one can order now and get it."""
    return _AVAILABILITIES[availability.lower()][1]


def _availability(offer: Document, path: str) -> str | None:
    value = offer.get("availability")
    if not many(value):
        return None
    try:
        stated = jsonld.link(value, f"{path}.availability")
        if stated is None and isinstance(value, str):
            return None
    except RejectedDocumentError:
        stated = None
    known = _known_availability(stated) if stated else None
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
    stated = single(offer.get("seller"))
    if isinstance(stated, str):
        return jsonld.as_urn(stated)
    return jsonld.identifier(stated, "cmp:orgId", "cmp:orgid") if isinstance(stated, dict) else None
