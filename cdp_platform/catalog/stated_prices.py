"""The prices that an offer states: for each its amount, its type, and for whom, for which quantity and when it holds.

The vocabulary is schema.org's: Offer, UnitPriceSpecification and CompoundPriceSpecification, as shops use it. `prices`
chooses one of the prices.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cdp_platform.catalog import jsonld
from cdp_platform.catalog.json_values import digits, exact
from cdp_platform.catalog.jsonld import Document, many, single, text
from cdp_platform.ops.rejected import RejectedDocumentError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
MAX_AMOUNT = Decimal(10) ** 15
_MAX_SCALE = 20
_EMPTIABLE = (str, list, dict)

# Types from https://schema.org/PriceTypeEnumeration without the word "price", and other words that shops use.
_PAID = frozenset(
    {"", "active", "current", "discounted", "final", "offer", "promotional", "sale", "selling", "special"}
)
_COMPARED = {
    "list": "list",
    "strikethrough": "strikethrough",
    "regular": "regular",
    "normal": "regular",
    "msrp": "suggested",
    "srp": "suggested",
    "rrp": "suggested",
    "suggestedretail": "suggested",
    "invoice": "invoice",
    "minimumadvertised": "minimum_advertised",
}
# UN/CEFACT codes and words for units of measure; a price per such a unit is not the price of one product.
_MEASURES = frozenset(
    "kgm grm mgm tne lbr onz kg g mg t lb lbs oz ltr mlt clt dlt l ml cl dl gll gal mtr cmt mmt m cm mm fot inh yrd"
    " ft in yd mtk cmk mtq ftk m2 m3 sqm kwh sec min hur day wee mon ann hour night week month year dzn dozen"
    " sqft".split()
)
_CONSUMERS = frozenset({"consumer", "enduser"})
_NO_SALES = frozenset({"buy", "leaseout"})
_CHARGES = frozenset({"DeliveryChargeSpecification", "PaymentChargeSpecification"})

# Kinds of prices that would be paid at another time.
OTHER_TIMES = frozenset({"expired", "not_yet"})

# Ranks of prices that can be paid; the lowest is chosen.
SALE, TIMED, OWN, UNTYPED, START = range(5)


@dataclass(frozen=True, slots=True)
class Stated:
    """A stated price.

    Attributes:
        value: as written there.
        currency: stated with the price; None if only the offer states one.
        kind: why it is not the price that an ordinary customer pays now for one; empty if it is.
        rank: the lowest rank is chosen.
        is_net: it is stated to be without taxes.
        starts, ends: when it holds; None without a limit.
        is_now: it holds now.
    """

    value: Any
    path: str
    source: Document
    currency: str | None
    kind: str
    rank: int
    is_net: bool
    starts: datetime | None
    ends: datetime | None
    is_now: bool


def stated_prices(offer: Document, path: str, now: datetime) -> list[Stated]:
    """Every price of an offer: its own, and those of its specifications and their parts.

    Raises:
        RejectedDocumentError: the time of a price that may be paid cannot be read.
    """
    return [*_of_offer(offer, path, now), *_of_specifications(offer, path, now)]


def read_amount(value: Any, path: str, what: str = "price") -> Decimal:
    """A price or another amount, exactly as written.

    Raises:
        RejectedDocumentError: it is no number, below zero, too large or too fine. The code begins with ``what``.
    """
    found = read_number(value, path, what)
    if found < 0:
        raise RejectedDocumentError(f"{what}_negative", path, f"the {what} is below zero")
    return found


def read_number(value: Any, path: str, what: str) -> Decimal:
    """A number, or a text that is one, exactly as written; raises RejectedDocumentError."""
    value = single(value)
    if isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(value.strip()):
        found = Decimal(value.strip())
    elif (found := exact(value)) is None:
        raise RejectedDocumentError(f"{what}_not_a_number", path, f"the {what} is no number")
    scale = found.as_tuple().exponent
    if abs(found) >= MAX_AMOUNT or (isinstance(scale, int) and scale < -_MAX_SCALE):
        raise RejectedDocumentError(f"{what}_out_of_range", path, f"the {what} is too large or has too many digits")
    return found


def word(value: Any) -> str:
    """The last part of a vocabulary term in small letters, such as ``listprice``; empty if there is none."""
    value = single(value)
    if isinstance(value, dict):
        value = next((value[name] for name in ("@id", "url", "name") if isinstance(value.get(name), str)), None)
    return _last_word(value) if isinstance(value, str) else ""


# Prices -------------------------------------------------------------------------------------------------------------


def _of_offer(offer: Document, path: str, now: datetime) -> Iterator[Stated]:
    for term, rank in (("price", OWN), ("lowPrice", START), ("minPrice", START)):
        if is_given(offer.get(term)):
            yield _stated(offer, term, offer, path, now=now, rank=rank)
            return


def _of_specifications(offer: Document, path: str, now: datetime) -> Iterator[Stated]:
    listed = offer.get("priceSpecification")
    for at, each in enumerate(many(listed)):
        if isinstance(each, dict):
            where = f"{path}.priceSpecification" + (f"[{at}]" if isinstance(listed, list) else "")
            yield from _of_specification(each, offer, where, now)


def _of_specification(specification: Document, offer: Document, path: str, now: datetime) -> Iterator[Stated]:
    total = is_given(specification.get("price"))
    if total:
        yield _stated(specification, "price", offer, path, now=now, rank=UNTYPED)
    elif is_given(specification.get("minPrice")):
        yield _stated(specification, "minPrice", offer, path, now=now, rank=START)
    parts = [
        part
        for at, each in enumerate(many(specification.get("priceComponent")))
        if isinstance(each, dict)
        for part in _of_specification(each, offer, f"{path}.priceComponent[{at}]", now)
    ]
    # Several parts of a price are paid together, so no single part is the price.
    is_part = total or sum(not part.kind for part in parts) > 1
    yield from (replace(part, kind=part.kind or "component") if is_part else part for part in parts)


def _stated(source: Document, term: str, offer: Document, path: str, *, now: datetime, rank: int) -> Stated:
    value = source[term]
    named = [word(each) for each in many(source.get("priceType"))]
    kind = _condition(source, value) or (_condition(offer, value) if source is not offer else "")
    kind = kind or next(filter(None, map(_type, named)), "")
    try:
        starts, ends, is_timed = _window(source, offer, path)
    except RejectedDocumentError:
        if not kind:
            raise
        starts, ends, is_timed = None, None, False
    is_over, is_early = ends is not None and ends < now, starts is not None and starts > now
    if any(each.startswith("sale") for each in named):
        rank = SALE
    elif is_timed and rank == UNTYPED:
        rank = TIMED
    return Stated(
        value=value,
        path=f"{path}.{term}",
        source=source,
        currency=shown(source.get("priceCurrency")),
        kind=kind or ("expired" if is_over else "not_yet" if is_early else ""),
        rank=rank,
        is_net=(shown(source.get("valueAddedTaxIncluded")) or "").casefold() == "false",
        starts=starts,
        ends=ends,
        is_now=not (is_over or is_early),
    )


def _condition(source: Document, value: Any) -> str:
    """The condition under which the price holds; empty if it holds for everybody and for one piece."""
    return next((kind for kind, is_so in _CONDITIONS.items() if is_so(source, value)), "")


def _is_for_others(source: Document, _: Any) -> bool:
    customers = [word(each) for each in many(source.get("eligibleCustomerType"))]
    return bool(customers) and _CONSUMERS.isdisjoint(customers)


def _is_for_many(source: Document, _: Any) -> bool:
    quantities = many(source.get("eligibleQuantity"))
    return bool(quantities) and not any(map(_holds_for_one, quantities))


def _is_for_large_orders(source: Document, value: Any) -> bool:
    volumes = many(source.get("eligibleTransactionVolume"))
    return bool(volumes) and not any(_is_reached(each, value) for each in volumes)


def _holds_for_one(quantity: Any) -> bool:
    if not isinstance(quantity, dict):
        return number(quantity) == 1
    least, most, value = (number(quantity.get(name)) for name in ("minValue", "maxValue", "value"))
    if most is not None and most < 1:
        return False
    if least is not None:
        return least <= 1
    return value == 1 if value is not None else most is not None


def _is_reached(volume: Any, value: Any) -> bool:
    """Whether an order of one piece at this price reaches the volume."""
    if not isinstance(volume, dict):
        return False
    least = next((volume[name] for name in ("minPrice", "price") if is_given(volume.get(name))), 0)
    needed, paid = number(least), number(value)
    return needed is not None and paid is not None and needed <= paid


def _is_per_measure(source: Document, _: Any) -> bool:
    reference = single(source.get("referenceQuantity"))
    if not is_given(reference):
        return _is_measure(source)
    if not isinstance(reference, dict):
        return number(reference) != 1
    # With a reference value, the quantity is the content of the product, and the price is the product's.
    if is_given(reference.get("valueReference")):
        return False
    return _is_measure(reference) or number(reference.get("value", 1)) != 1


def _is_measure(quantity: Document) -> bool:
    return any(_unit(shown(quantity.get(name)) or "") in _MEASURES for name in ("unitCode", "unitText"))


def _unit(stated: str) -> str:
    """A unit by itself: ``per kg`` and ``/kg`` become ``kg``."""
    return re.sub(r"^per\b|[\W_]", "", stated.casefold())


_CONDITIONS: dict[str, Callable[[Document, Any], bool]] = {
    "component": lambda source, _: "priceComponentType" in source,
    "charge": lambda source, _: not _CHARGES.isdisjoint(jsonld.types(source)),
    "member": lambda source, _: is_given(source.get("validForMemberTier")),
    "customer_type": _is_for_others,
    "quantity": _is_for_many,
    "order_value": _is_for_large_orders,
    "subscription": lambda source, _: is_given(source.get("billingDuration")),
    "per_unit": _is_per_measure,
    "not_a_sale": lambda source, _: word(source.get("businessFunction")) in _NO_SALES,
}


def _type(named: str) -> str:
    """The kind of a price type; empty for a type of price that is paid."""
    stem = named.removesuffix("price")
    return "" if stem in _PAID else _COMPARED.get(stem, "unknown_type")


# Times ---------------------------------------------------------------------------------------------------------------


def _window(source: Document, offer: Document, path: str) -> tuple[datetime | None, datetime | None, bool]:
    """From when and until when a price holds, and whether the price itself states it."""
    own = [_moment(source, name, path, is_end=True) for name in ("validThrough", "priceValidUntil", "validUntil")]
    own_start, ends = _moment(source, "validFrom", path), [each for each in own if each]
    is_timed = own_start is not None or bool(ends)
    starts = [own_start]
    if source is not offer:
        outer = path.partition(".priceSpecification")[0]
        starts.append(_moment(offer, "validFrom", outer))
        # The dates of the offer hold for its own price; a specification may have its own.
        names = ("validThrough",) if ends else ("validThrough", "priceValidUntil", "validUntil")
        ends += [found for name in names if (found := _moment(offer, name, outer, is_end=True))]
    return max(filter(None, starts), default=None), min(ends, default=None), is_timed


def _moment(source: Document, name: str, path: str, *, is_end: bool = False) -> datetime | None:
    """A time, in UTC unless it states an offset; a date starts at the start of its day and ends at its end."""
    stated = text(source, name, path)
    if stated is None:
        return None
    try:
        moment = datetime.fromisoformat(stated)
        if is_end and _is_date(stated):
            moment = datetime.combine(moment, time.max)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RejectedDocumentError("not_a_timestamp", f"{path}.{name}", f"{name} is no ISO 8601 time") from None


def _is_date(stated: str) -> bool:
    try:
        date.fromisoformat(stated)
    except ValueError:
        return False
    return True


def change(stated: Stated, now: datetime) -> datetime | None:
    """When a price begins to hold, or the first moment after its end; None if both are in the past."""
    if stated.starts is not None and stated.starts > now:
        return stated.starts
    if stated.ends is not None and now <= stated.ends < datetime.max.replace(tzinfo=UTC):
        return stated.ends + timedelta(microseconds=1)
    return None


# Plain values --------------------------------------------------------------------------------------------------------


def number(value: Any) -> Decimal | None:
    """A number, or a text that is one; None for any other value."""
    try:
        return read_number(value, "", "number")
    except RejectedDocumentError:
        return None


def shown(value: Any) -> str | None:
    """A plain value as text; None for lists and objects."""
    value = single(value)
    if isinstance(value, str | bool):
        return str(value).strip() or None
    return digits(number) if (number := exact(value)) is not None else None


@lru_cache(maxsize=1000)
def _last_word(value: str) -> str:
    return re.sub(r"[\W_]", "", re.split(r"[/#:]", value.strip().rstrip("/"))[-1]).casefold()


def is_given(value: Any) -> bool:
    """Whether a value is stated: not null, and no empty text, list or object."""
    return value is not None and (bool(value) or not isinstance(value, _EMPTIABLE))
