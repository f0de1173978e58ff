"""Which of the prices that an offer states an ordinary customer pays now for one.

schema.org lets an offer state many prices: the one that is paid, those that it is compared with (list, struck through,
suggested), those for others (members, resellers), for other quantities (a dozen, a kilogram) and other times. All of
them are understood here; one is chosen, and the others are kept beside it.

Of those that can be paid now, the first of these is chosen: a price typed ``SalePrice``; one that holds for a stated
time; the ``price`` of the offer itself; any other without a type; the start of a range. Among equals it is the one with
taxes, then the lowest.
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

# Whether an offer states anything but a price and its currency.
_MORE = frozenset(
    "priceSpecification priceType validFrom validThrough priceValidUntil validUntil validForMemberTier"
    " eligibleCustomerType eligibleQuantity eligibleTransactionVolume referenceQuantity unitCode priceComponentType"
    " billingDuration businessFunction lowPrice highPrice minPrice maxPrice".split()
)

# Which of the prices beside it is the list price of the tables, the first that is stated.
_LIST_PRICES = ("list", "strikethrough", "regular", "suggested")

ONLY_OTHER_PRICES = "only_other_prices"

NOTHING: frozenset[str] = frozenset()


class OnlyOtherPricesError(RejectedDocumentError):
    """None of the prices of an offer is what an ordinary customer pays now for one.

    Attributes:
        others: those prices, as `Price.others` has them.
        changes_at: when one of them may become, or cease to be, what is paid.
    """

    def __init__(self, path: str, others: list[dict[str, Any]], changes_at: datetime | None) -> None:
        kinds = ", ".join(dict.fromkeys(each["kind"] for each in others))
        super().__init__(ONLY_OTHER_PRICES, path, f"no ordinary customer pays any of its prices now for one: {kinds}")
        self.others = others
        self.changes_at = changes_at


@dataclass(slots=True)
class Price:
    """What an ordinary customer pays now for one; amounts are exact, in ``currency`` (ISO 4217).

    Attributes:
        amount: of a range, its lower end.
        list_price: what ``amount`` is compared with: a list price, else a struck-through, regular or suggested one.
        low, high: of the range that the offer stands for; None for an offer of one price.
        count: of offers in that range.
        valid_until: the last moment at which ``amount`` holds.
        others: each other price that is stated, with its ``kind`` and as it stands there.
        changes_at: when another price may hold.
        remarks: codes of what was noticed.
    """

    amount: Decimal
    currency: str
    list_price: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    count: int | None = None
    valid_until: datetime | None = None
    others: list[dict[str, Any]] = field(default_factory=list)
    changes_at: datetime | None = None
    remarks: frozenset[str] = NOTHING


def read_price(offer: Document, path: str, now: datetime) -> Price:
    """The price of an offer.

    Args:
        offer: of schema.org; of an AggregateOffer without offers of its own the price is its lowest.
        path: of the offer, for errors.
        now: the moment to choose for.

    Raises:
        OnlyOtherPricesError: none of them is paid by an ordinary customer now for one.
        RejectedDocumentError: there is none, or it or its currency cannot be understood.
    """
    own_currency = text(offer, "priceCurrency", path)
    if _MORE.isdisjoint(offer):
        if not is_given(offer.get("price")):
            raise RejectedDocumentError("price_missing", f"{path}.price", "an offer has no price")
        found = read_amount(offer["price"], f"{path}.price")
        currency = _known_currency(own_currency, path)
        return Price(found, currency, remarks=_finer(currency, found))
    stated = stated_prices(offer, path, now)
    if not stated:
        raise RejectedDocumentError("price_missing", f"{path}.price", "an offer has no price")
    changes_at = min(filter(None, (change(each, now) for each in stated)), default=None)
    payable = [each for each in stated if not each.kind]
    if not payable and any(each.kind in OTHER_TIMES for each in stated):
        # Outside of a sale the regular price is paid.
        payable = [each for each in stated if each.kind == "regular" and each.is_now]
    if not payable:
        raise OnlyOtherPricesError(path, _others(stated), changes_at)
    chosen, found, code = _choose(stated, payable, own_currency)
    currency = _known_currency(code, path)
    low, high = _range(offer, chosen, found, path)
    listed, remarks = _list_price(stated, chosen, currency)
    return Price(
        found,
        currency,
        list_price=listed,
        low=low,
        high=high,
        count=None if low is None else _count(offer),
        valid_until=chosen.ends,
        others=_others([each for each in stated if each is not chosen and not _is_same(each, found, currency)]),
        changes_at=changes_at,
        remarks=remarks | _finer(currency, found, listed),
    )


# The choice ----------------------------------------------------------------------------------------------------------


def _choose(
    stated: Sequence[Stated], payable: Sequence[Stated], own_currency: str | None
) -> tuple[Stated, Decimal, str | None]:
    """The price that is paid, its amount and its currency."""
    amounts = {each.path: read_amount(each.value, each.path) for each in payable}
    currency = (own_currency or next((each.currency for each in (*payable, *stated) if each.currency), "")).upper()
    # An offer whose own price is its list price has the price that is paid elsewhere.
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
    """Whether it is the price that was chosen, stated again."""
    return not other.kind and number(other.value) == found and (other.currency or currency).upper() == currency


def _others(stated: Sequence[Stated]) -> list[dict[str, Any]]:
    """The prices beside the one that is chosen, as they stand in the offer."""
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
    is_finer = any(
        found is not None and -int(found.as_tuple().exponent) > units and len(digits(found).partition(".")[2]) > units
        for found in amounts
    )
    return frozenset({"price_finer_than_currency"}) if is_finer else NOTHING


def _known_currency(stated: str | None, path: str) -> str:
    if stated is None:
        raise RejectedDocumentError("currency_missing", f"{path}.priceCurrency", "a price has no currency")
    code = stated.upper()
    if currencies.minor_units(code) is None:
        raise RejectedDocumentError(
            "currency_unknown", f"{path}.priceCurrency", "a currency is no active code of ISO 4217"
        )
    return code
