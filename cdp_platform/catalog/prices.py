"""The price of an offer: of all prices that it states, the one that an ordinary customer pays now for one.

schema.org lets an offer state many prices: the one that is paid, prices for comparison (list, struck through,
suggested), and prices for others (members, resellers), for other quantities (a dozen, a kilogram) and other times. One
of them is chosen, and the others are kept beside it.

The price is the first of these that can be paid now: a price typed ``SalePrice``; a price that holds for a
stated time; the ``price`` of the offer itself; another price without a type; the start of a range. Among equals the
price with taxes is chosen, then the lowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from cdp_platform import currencies
from cdp_platform.catalog.json_values import digits
from cdp_platform.catalog.jsonld import Document, text
from cdp_platform.catalog.stated_prices import (
    OTHER_TIMES,
    OWN,
    START,
    UNTYPED,
    Stated,
    change,
    is_given,
    number,
    read_amount,
    shown,
    stated_prices,
)
from cdp_platform.ops.rejected import RejectedDocumentError

# An offer without any of these terms states only a price and its currency.
_MORE = frozenset(
    "priceSpecification priceType validFrom validThrough priceValidUntil validUntil validForMemberTier"
    " eligibleCustomerType eligibleQuantity eligibleTransactionVolume referenceQuantity unitCode priceComponentType"
    " billingDuration businessFunction lowPrice highPrice minPrice maxPrice".split()
)

# Kinds of prices that can be the list price, in order of preference.
_LIST_PRICES = ("list", "strikethrough", "regular", "suggested")

ONLY_OTHER_PRICES = "only_other_prices"

NOTHING: frozenset[str] = frozenset()
_FINER = frozenset({"price_finer_than_currency"})


class OnlyOtherPricesError(RejectedDocumentError):
    """An ordinary customer pays none of the prices of an offer now for one.

    Attributes:
        others: these prices, as in `Offer.other_prices`.
        changes_at: when an ordinary customer may begin to pay one of them.
    """

    def __init__(self, path: str, others: list[dict[str, Any]], changes_at: datetime | None) -> None:
        kinds = ", ".join(dict.fromkeys(each["kind"] for each in others))
        super().__init__(ONLY_OTHER_PRICES, path, f"no ordinary customer pays any of its prices now for one: {kinds}")
        self.others = others
        self.changes_at = changes_at


# Not frozen, because that takes longer to make, and a feed has one for every product.
@dataclass(slots=True)
class Offer:
    """An offer of a product; amounts are exact, in ``currency`` (ISO 4217).

    Attributes:
        price: what an ordinary customer pays now for one; the lower end of a range.
        list_price: what ``price`` is compared with: a list price, else a struck-through, regular or suggested one.
        low_price, high_price: ends of the range that the offer stands for; None for an offer of one price.
        offer_count: number of offers in that range.
        price_valid_until: the last moment at which ``price`` holds.
        other_prices: every other stated price, with its ``kind`` and as written in the offer.
        changes_at: when another price may hold.
        remarks: codes of peculiarities that did not reject the offer.
    """

    price: Decimal
    currency: str
    list_price: Decimal | None = None
    low_price: Decimal | None = None
    high_price: Decimal | None = None
    offer_count: int | None = None
    price_valid_until: datetime | None = None
    other_prices: list[dict[str, Any]] = field(default_factory=list)
    changes_at: datetime | None = None
    remarks: frozenset[str] = NOTHING
    seller_id: str | None = None
    availability: str | None = None
    inventory_level: Decimal | None = None
    url: str | None = None


def read_price(offer: Document, path: str, now: datetime) -> Offer:
    """The offer with its prices, and nothing else filled in.

    Args:
        offer: of schema.org; the price of an AggregateOffer without offers is its lowest.
        path: JSON path of the offer, for errors.
        now: the moment for which the price is chosen.

    Raises:
        OnlyOtherPricesError: an ordinary customer pays none of its prices now for one.
        RejectedDocumentError: there is no price, or it or its currency cannot be read.
    """
    own_currency = text(offer, "priceCurrency", path)
    if _MORE.isdisjoint(offer):
        if not is_given(offer.get("price")):
            raise RejectedDocumentError("price_missing", f"{path}.price", "an offer has no price")
        return own_price(offer["price"], own_currency, path)
    stated = stated_prices(offer, path, now)
    if not stated:
        raise RejectedDocumentError("price_missing", f"{path}.price", "an offer has no price")
    changes_at = min(filter(None, (change(each, now) for each in stated)), default=None)
    payable = [each for each in stated if not each.kind]
    if not payable and any(each.kind in OTHER_TIMES for each in stated):
        # When no sale is on, the regular price is paid.
        payable = [each for each in stated if each.kind == "regular" and each.is_now]
    if not payable:
        raise OnlyOtherPricesError(path, _others(stated), changes_at)
    chosen, found, code = _choose(stated, payable, own_currency)
    currency = _known_currency(code, path)
    low, high = _range(offer, chosen, found, path)
    listed, remarks = _list_price(stated, chosen, currency)
    return Offer(
        found,
        currency,
        list_price=listed,
        low_price=low,
        high_price=high,
        offer_count=None if low is None else _count(offer),
        price_valid_until=chosen.ends,
        other_prices=_others([each for each in stated if each is not chosen and not _is_same(each, found, currency)]),
        changes_at=changes_at,
        remarks=remarks | _finer(currency, found, listed),
    )


def own_price(stated: Any, currency: str | None, path: str) -> Offer:
    """The offer that states only this price and currency; raises RejectedDocumentError."""
    found = read_amount(stated, f"{path}.price")
    known = _known_currency(currency, path)
    return Offer(found, known, remarks=_finer(known, found))


# The choice ----------------------------------------------------------------------------------------------------------


def _choose(
    stated: Sequence[Stated], payable: Sequence[Stated], own_currency: str | None
) -> tuple[Stated, Decimal, str | None]:
    """The chosen price, its amount and its currency."""
    amounts = {each.path: read_amount(each.value, each.path) for each in payable}
    currency = (own_currency or next((each.currency for each in (*payable, *stated) if each.currency), "")).upper()
    # An own price that equals a list price is not what is paid; that price is stated elsewhere in the offer.
    listed = {number(each.value) for each in stated if each.kind in _LIST_PRICES}
    chosen = min(
        [each for each in payable if (each.currency or currency).upper() == currency] or payable,
        key=lambda each: (
            UNTYPED if each.rank == OWN and amounts[each.path] in listed else each.rank,
            each.is_net,
            amounts[each.path],
        ),
    )
    return chosen, amounts[chosen.path], chosen.currency or currency or None


def _range(offer: Document, chosen: Stated, found: Decimal, path: str) -> tuple[Decimal | None, Decimal | None]:
    if chosen.rank == START and "minPrice" in chosen.source:
        high = chosen.source.get("maxPrice")
        where = chosen.path.replace("minPrice", "maxPrice")
    elif is_given(offer.get("lowPrice")) or is_given(offer.get("highPrice")):
        high, where = offer.get("highPrice"), f"{path}.highPrice"
        if is_given(offer.get("lowPrice")):
            found = read_amount(offer["lowPrice"], f"{path}.lowPrice")
    else:
        return None, None
    if not is_given(high):
        return found, None
    most = read_amount(high, where)
    if most < found:
        raise RejectedDocumentError("price_range_reversed", where, "the highest price is below the lowest")
    return found, most


def _list_price(stated: Sequence[Stated], chosen: Stated, currency: str) -> tuple[Decimal | None, frozenset[str]]:
    remarks = NOTHING
    for kind in _LIST_PRICES:
        for each in stated:
            if each.kind == kind and each.is_now and each is not chosen:
                found = number(each.value)
                if found is not None and found >= 0 and (each.currency or currency).upper() == currency:
                    return found, remarks
                remarks = frozenset({"list_price_not_understood"})
    return None, remarks


def _is_same(other: Stated, found: Decimal, currency: str) -> bool:
    """Whether it repeats the chosen price."""
    return not other.kind and number(other.value) == found and (other.currency or currency).upper() == currency


def _others(stated: Sequence[Stated]) -> list[dict[str, Any]]:
    """The prices other than the chosen one, as written in the offer."""
    names = {"price": None, "currency": "priceCurrency", "valid_from": "validFrom", "valid_through": "validThrough"}
    return [
        {"kind": each.kind or "alternative"}
        | {
            name: plain
            for name, term in names.items()
            if (plain := shown(each.value if term is None else each.source.get(term))) is not None
        }
        for each in stated
    ]


def _count(offer: Document) -> int | None:
    found = number(offer.get("offerCount"))
    return int(found) if found is not None and 0 <= found < 2**31 and found == int(found) else None


def _finer(currency: str, *amounts: Decimal | None) -> frozenset[str]:
    units = currencies.minor_units(currency) or 0
    for found in amounts:
        if found is None or -int(found.as_tuple().exponent) <= units:
            continue
        if len(digits(found).partition(".")[2]) > units:
            return _FINER
    return NOTHING


def _known_currency(stated: str | None, path: str) -> str:
    if stated is None:
        raise RejectedDocumentError("currency_missing", f"{path}.priceCurrency", "a price has no currency")
    code = stated.upper()
    if currencies.minor_units(code) is None:
        raise RejectedDocumentError(
            "currency_unknown", f"{path}.priceCurrency", "a currency is no active code of ISO 4217"
        )
    return code
