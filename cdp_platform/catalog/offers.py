"""The offers of a product: what it costs, whether it is available, and who sells it."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.jsonld import Document, many, single, text
from cdp_platform.catalog.prices import NOTHING, Offer, OnlyOtherPricesError, read_price
from cdp_platform.catalog.stated_prices import is_given, read_number
from cdp_platform.ops.rejected import RejectedDocumentError

_AVAILABILITY = re.compile(r"(?:https?://(?:www\.)?schema\.org/|schema:)?([A-Za-z _-]+)/?")
# https://schema.org/ItemAvailability, and whether the product can be bought now.
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


# Terms of an AggregateOffer that hold for the offers in it, unless they state them.
_INHERITED = (
    "availability businessFunction eligibleCustomerType eligibleQuantity eligibleTransactionVolume priceCurrency"
    " priceValidUntil seller validForMemberTier validFrom validThrough"
).split()


@dataclass(slots=True)
class Offers:
    """The offers of a product that an ordinary customer can accept now.

    Attributes:
        changes_at: when another price of any of its offers may hold.
        remarks: codes of peculiarities that did not reject the product.
    """

    taken: list[Offer]
    changes_at: datetime | None
    remarks: frozenset[str]


def read_offers(item: Document, path: str, now: datetime) -> Offers:
    """The offers of an item at a moment.

    An offer that has only other prices is left out if another offer has a price; the first of those keeps the prices.

    Raises:
        OnlyOtherPricesError: there are offers, and an ordinary customer pays none of their prices now for one.
        RejectedDocumentError: an offer cannot be read.
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
            taken.append(_completed(found, each, where))
            moments.append(found.changes_at)
            remarks = remarks | found.remarks if found.remarks else remarks
    changes_at = min(filter(None, moments), default=None)
    if refused and not taken:
        raise OnlyOtherPricesError(refused.path, others, changes_at)
    if others:
        taken[0].other_prices += others
    return Offers(taken, changes_at, remarks)


def _flat(stated: Any, path: str) -> list[tuple[Document, str]]:
    """Every offer with its path; an AggregateOffer is replaced by the offers in it, if it has any."""
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


def _completed(found: Offer, offer: Document, path: str) -> Offer:
    level = single(offer.get("inventoryLevel"))
    if isinstance(level, dict):
        level = single(level.get("value"))
    found.seller_id = seller_of(offer)
    found.availability = _availability(offer, path)
    if is_given(level):
        found.inventory_level = read_number(level, f"{path}.inventoryLevel", "inventory")
    found.url = text(offer, "url", path)
    return found


def can_be_bought(availability: str) -> bool:
    """Whether a product of this availability can be ordered now and is delivered."""
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
    known = known_availability(stated) if stated else None
    if known is None:
        raise RejectedDocumentError(
            "availability_unknown", f"{path}.availability", "the availability is none of schema.org's"
        )
    return known


@lru_cache(maxsize=1000)
def known_availability(stated: str) -> str | None:
    """The last part of schema.org's address of an availability, such as ``InStock``; None if it is none of them."""
    word = _AVAILABILITY.fullmatch(stated)
    known = _AVAILABILITIES.get(re.sub(r"[ _-]", "", word[1]).lower()) if word else None
    return known[0] if known else None


def seller_of(offer: Document) -> str | None:
    """The URN of the organization that an offer names as its seller, if any."""
    stated = single(offer.get("seller"))
    if isinstance(stated, str):
        return jsonld.as_urn(stated)
    return jsonld.identifier(stated, "cmp:orgId", "cmp:orgid") if isinstance(stated, dict) else None
