"""Which of the prices that an offer states is taken: what an ordinary customer pays now for one."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform import currencies
from cdp_platform.catalog import items
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.prices import Offer, OnlyOtherPricesError
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform_tests.catalog.conftest import BRAND, product

BRANDS = Brands({BRAND: "Northwind"})
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TIER = {"@type": "MemberProgramTier", "@id": "#gold"}
PER_KILO = {"@type": "QuantitativeValue", "value": 1, "unitCode": "KGM"}


def understood(offers: Any, now: datetime = NOW) -> items.Product:
    return items.to_product(Entry("$", product(1, offers=offers)), BRANDS, now)


def only(offers: Any, now: datetime = NOW) -> Offer:
    (found,) = understood(offers, now).offers
    return found


def spec(price: Any, **more: Any) -> dict[str, Any]:
    return {"@type": "UnitPriceSpecification", "price": price, "priceCurrency": "EUR", **more}


def typed(price: Any, name: str, **more: Any) -> dict[str, Any]:
    return spec(price, priceType=f"https://schema.org/{name}", **more)


def offered(*specifications: Any, **more: Any) -> dict[str, Any]:
    return {"@type": "Offer", "priceSpecification": list(specifications), **more}


OTHERS = {
    "list": typed(85, "ListPrice"),
    "strikethrough": typed(85, "StrikethroughPrice"),
    "regular": typed(85, "RegularPrice"),
    "suggested": typed(85, "SRP"),
    "suggested (MSRP)": typed(85, "MSRP"),
    "invoice": typed(50, "InvoicePrice"),
    "minimum_advertised": typed(60, "MinimumAdvertisedPrice"),
    "unknown_type": typed(50, "StaffPrice"),
    "member": spec(60, validForMemberTier=TIER, membershipPointsEarned=20),
    "customer_type": spec(50, eligibleCustomerType="http://purl.org/goodrelations/v1#Reseller"),
    "quantity": spec(60, eligibleQuantity={"@type": "QuantitativeValue", "minValue": 10}),
    "quantity (exact)": spec(600, eligibleQuantity={"value": 12}),
    "order_value": spec(60, eligibleTransactionVolume={"@type": "PriceSpecification", "minPrice": 500}),
    "per_unit": spec("13.60", referenceQuantity=PER_KILO),
    "per_unit (dozen)": spec(700, referenceQuantity={"value": 12, "unitCode": "C62"}),
    "per_unit (code)": spec("13.60", unitCode="KGM"),
    "subscription": spec(6, billingDuration=12, unitCode="MON"),
    "component": spec(5, priceComponentType="https://schema.org/Downpayment"),
    "charge": {"@type": "DeliveryChargeSpecification", "price": 5, "priceCurrency": "EUR"},
    "expired": spec(40, validThrough="2026-06-14"),
    "not_yet": spec(40, validFrom="2026-06-16"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_price_for_others_is_never_taken_for_the_price_and_kept_beside_it(name: str):
    other, kind = OTHERS[name], name.partition(" ")[0]
    for specifications in permutations([other, spec("68.00")]):
        found = only(offered(*specifications))
        assert (found.price, found.currency) == (Decimal("68.00"), "EUR")
        assert [each["kind"] for each in found.other_prices] == [kind]
        assert Decimal(found.other_prices[0]["price"]) == Decimal(str(other["price"]))
    # The same with the price where Google reads it.
    assert only(offered(other, price="68.00", priceCurrency="EUR")).price == 68
    # And as offers of their own.
    for offers in permutations([offered(other), {"price": "68.00", "priceCurrency": "EUR"}]):
        found = only(list(offers))
        assert (found.price, [each["kind"] for each in found.other_prices]) == (68, [kind])


@pytest.mark.parametrize("name", OTHERS)
def test_an_offer_of_which_only_prices_for_others_are_left_is_rejected(name: str):
    with pytest.raises(OnlyOtherPricesError) as caught:
        understood([offered(OTHERS[name])])
    assert (caught.value.code, caught.value.path) == ("only_other_prices", "$.offers[0]")
    assert name.partition(" ")[0] in str(caught.value)


@pytest.mark.parametrize(
    "stated",
    [
        "https://schema.org/ListPrice",
        "http://schema.org/ListPrice",
        "schema:ListPrice",
        "ListPrice",
        "list price",
        "LIST_PRICE",
        ["https://schema.org/ListPrice"],
        {"@id": "https://schema.org/ListPrice"},
        {"@value": "ListPrice"},
    ],
)
def test_a_price_type_is_an_address_or_a_word(stated: Any):
    found = only(offered(spec(85, priceType=stated), spec(68)))
    assert (found.price, found.list_price) == (68, 85)


@pytest.mark.parametrize(
    ("others", "listed"),
    [
        ([typed(85, "ListPrice")], 85),
        ([typed(80, "StrikethroughPrice"), typed(85, "ListPrice")], 85),
        ([typed(90, "SRP"), typed(80, "RegularPrice")], 80),
        ([typed(85, "ListPrice", validThrough="2026-06-14")], None),
        ([typed(85, "ListPrice", validForMemberTier=TIER)], None),
        ([typed(85, "ListPrice", priceCurrency="USD")], None),
        ([typed(50, "InvoicePrice")], None),
        ([], None),
    ],
)
def test_the_list_price_stands_beside_the_price(others: list, listed: int | None):
    assert only(offered(*others, spec(68))).list_price == listed


def test_a_list_price_that_is_no_number_costs_a_remark_and_not_the_item():
    found = understood(offered(typed("ask us", "ListPrice"), spec(68)))
    assert (found.offers[0].list_price, found.remarks) == (None, ["list_price_not_understood"])


@pytest.mark.parametrize(
    ("offers", "price"),
    [
        (offered(spec(68, priceType="https://schema.org/SalePrice"), price=85, priceCurrency="EUR"), 68),
        (offered(spec(68, validFrom="2026-06-01", validThrough="2026-06-30"), price=85, priceCurrency="EUR"), 68),
        (offered(spec(68), typed(85, "ListPrice"), price=85, priceCurrency="EUR"), 68),
        (offered(spec("57.14", valueAddedTaxIncluded=False), spec(68, valueAddedTaxIncluded=True)), 68),
        (offered(spec("57.14", valueAddedTaxIncluded="false"), spec(68, valueAddedTaxIncluded="true")), 68),
        (offered(spec(80), spec(68)), 68),
        (offered(spec(68), spec(60, priceCurrency="USD")), 68),
        (offered(spec(75, priceCurrency="USD"), spec(68), priceCurrency="EUR"), 68),
        # Free is a price.
        (offered(spec(0), typed(85, "ListPrice")), 0),
        (offered(spec(68, eligibleQuantity={"value": "1", "minValue": "1", "maxValue": "1"})), 68),
        (
            offered(
                spec(68, eligibleQuantity={"minValue": 1, "maxValue": 9}), spec(60, eligibleQuantity={"minValue": 10})
            ),
            68,
        ),
        (offered(spec(68, eligibleCustomerType=["Business", "http://purl.org/goodrelations/v1#Enduser"])), 68),
        (offered(spec(68, eligibleTransactionVolume={"minPrice": 20})), 68),
        (offered(spec(68, referenceQuantity={"value": 1, "unitCode": "C62"})), 68),
        # The price of 4.5 litres, with a litre to compare by, as Google has it.
        (
            offered(
                spec(
                    81,
                    referenceQuantity={
                        "value": "4.5",
                        "unitCode": "LTR",
                        "valueReference": {"value": "1", "unitCode": "LTR"},
                    },
                )
            ),
            81,
        ),
        # Points without a price of their own.
        (offered(spec(68), {"membershipPointsEarned": 50, "validForMemberTier": TIER}), 68),
        ({"priceSpecification": {"price": "7.50", "priceCurrency": "eur"}}, Decimal("7.50")),
        ({"price": {"@value": "68.00", "@type": "xsd:decimal"}, "priceCurrency": "EUR"}, 68),
    ],
)
def test_the_price_of_now_for_one(offers: Any, price: Any):
    found = only(offers)
    assert (found.price, found.currency) == (price, "EUR")


def test_parts_of_a_price_are_not_the_price():
    total = {"@type": "CompoundPriceSpecification", "price": 68, "priceCurrency": "EUR"}
    parts = [spec(60, name="goods"), spec(8, name="deposit")]
    assert only(offered(total | {"priceComponent": parts})).price == 68
    with pytest.raises(OnlyOtherPricesError, match="component"):
        understood(offered({"@type": "CompoundPriceSpecification", "priceComponent": parts}))
    lone = {"@type": "CompoundPriceSpecification", "priceComponent": [typed(85, "ListPrice"), spec(68)]}
    assert (only(offered(lone)).price, only(offered(lone)).list_price) == (68, 85)


def test_conditions_of_an_offer_hold_for_all_of_its_prices():
    ordinary = {"price": 68, "priceCurrency": "EUR"}
    for condition in (
        {"validForMemberTier": TIER},
        {"eligibleCustomerType": "Business"},
        {"eligibleQuantity": {"minValue": 6}},
        {"validThrough": "2026-06-01T00:00:00Z"},
        {"businessFunction": "http://purl.org/goodrelations/v1#LeaseOut"},
    ):
        found = understood(
            [{"price": 50, "priceCurrency": "EUR", **condition}, offered(spec(40), **condition), ordinary]
        )
        assert ([each.price for each in found.offers], len(found.offers[0].other_prices)) == ([68], 2)


# Time -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["priceValidUntil", "validThrough"])
def test_a_date_ends_with_its_day(term: str):
    offers = {"price": 68, "priceCurrency": "EUR", term: "2026-06-15"}
    assert only(offers, datetime(2026, 6, 15, 23, 59, 59, tzinfo=UTC)).price == 68
    assert only(offers).price_valid_until == datetime(2026, 6, 15, 23, 59, 59, 999999, UTC)
    assert understood(offers).prices_change_at == datetime(2026, 6, 16, tzinfo=UTC)
    with pytest.raises(OnlyOtherPricesError):
        only(offers, datetime(2026, 6, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("stated", "until"),
    [
        ("2026-06-15T18:00:00Z", datetime(2026, 6, 15, 18, tzinfo=UTC)),
        ("2026-06-15T18:00:00+07:00", datetime(2026, 6, 15, 11, tzinfo=UTC)),
        ("2026-06-15 18:00", datetime(2026, 6, 15, 18, tzinfo=UTC)),
        ("20260615", datetime(2026, 6, 15, 23, 59, 59, 999999, UTC)),
        ("9999-12-31", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_a_time_ends_at_itself(stated: str, until: datetime):
    early = datetime(2026, 6, 15, 1, tzinfo=UTC)
    assert only({"price": 68, "priceCurrency": "EUR", "priceValidUntil": stated}, early).price_valid_until == until


def test_a_sale_begins_and_ends_by_itself():
    offers = offered(
        spec(68, priceType="SalePrice", validFrom="2026-06-10", validThrough="2026-06-20"), typed(85, "RegularPrice")
    )
    for day, price, changes_at in [
        (datetime(2026, 6, 9, 23, 59, tzinfo=UTC), 85, datetime(2026, 6, 10, tzinfo=UTC)),
        (datetime(2026, 6, 10, tzinfo=UTC), 68, datetime(2026, 6, 21, tzinfo=UTC)),
        (datetime(2026, 6, 20, 23, tzinfo=UTC), 68, datetime(2026, 6, 21, tzinfo=UTC)),
        (datetime(2026, 6, 21, tzinfo=UTC), 85, None),
    ]:
        found = understood(offers, day)
        assert ([each.price for each in found.offers], found.prices_change_at) == ([price], changes_at)


def test_the_price_that_holds_follows_the_time_with_the_offers_own_price():
    offers = offered(spec(68, validFrom="2026-06-10", validThrough="2026-06-20"), price=85, priceCurrency="EUR")
    days = [datetime(2026, 6, day, tzinfo=UTC) for day in (9, 10, 20, 21)]
    assert [only(offers, day).price for day in days] == [85, 68, 68, 85]


def test_a_price_that_is_still_to_come_says_when():
    with pytest.raises(OnlyOtherPricesError, match="not_yet") as caught:
        understood({"price": 68, "priceCurrency": "EUR", "validFrom": "2026-07-01"})
    assert caught.value.changes_at == datetime(2026, 7, 1, tzinfo=UTC)


# Ranges ---------------------------------------------------------------------------------------------------------------


def test_an_aggregate_offer_says_that_it_is_a_range():
    found = only(
        {"@type": "AggregateOffer", "lowPrice": "19.90", "highPrice": 49.9, "offerCount": "12", "priceCurrency": "EUR"}
    )
    assert (found.price, found.low_price, found.high_price) == (Decimal("19.90"), Decimal("19.90"), Decimal("49.9"))
    assert found.offer_count == 12
    assert only({"price": 5, "priceCurrency": "EUR"}).low_price is None


def test_a_specification_of_a_least_and_a_most_is_a_range():
    found = only(offered({"minPrice": 10, "maxPrice": 20, "priceCurrency": "EUR"}))
    assert (found.price, found.low_price, found.high_price) == (10, 10, 20)


def test_the_currency_of_an_aggregate_offer_holds_for_the_offers_in_it():
    nested = [{"price": 5}, {"price": 6, "priceCurrency": "USD"}, offered({"price": 7})]
    found = understood({"@type": "AggregateOffer", "priceCurrency": "EUR", "lowPrice": 5, "offers": nested})
    assert [(each.price, each.currency, each.low_price) for each in found.offers] == [
        (5, "EUR", None),
        (6, "USD", None),
        (7, "EUR", None),
    ]


def test_a_range_that_is_the_wrong_way_round_is_refused():
    with pytest.raises(RejectedDocumentError) as caught:
        understood({"lowPrice": 20, "highPrice": 10, "priceCurrency": "EUR"})
    assert (caught.value.code, caught.value.path) == ("price_range_reversed", "$.offers.highPrice")


# Currencies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "currency", "is_finer"),
    [
        ("19.990", "VND", True),
        ("20000", "VND", False),
        ("20000.00", "VND", False),
        ("19.990", "USD", False),
        ("19.995", "USD", True),
        ("19.995", "KWD", False),
        ("0.5", "JPY", True),
    ],
)
def test_a_price_finer_than_its_currency_is_told(price: str, currency: str, is_finer: bool):
    found = understood({"price": price, "priceCurrency": currency})
    assert found.offers[0].price == Decimal(price)
    assert found.remarks == (["price_finer_than_currency"] if is_finer else [])


def test_only_codes_of_money_are_currencies():
    assert [currencies.minor_units(code) for code in ("EUR", "VND", "BHD", "CLF", "XCG")] == [2, 0, 3, 4, 2]
    assert not any(map(currencies.minor_units, ("XXX", "XTS", "XAU", "XDR", "DEM", "HRK", "eur", "RMB", "ZZZ", "")))
    assert {"EUR", "DEM", "HRK"} <= currencies.money()
    assert currencies.money().isdisjoint({"XXX", "RMB", "ZZZ", "UKP", "NTD"})


# Anything -------------------------------------------------------------------------------------------------------------

TERMS = (
    "price priceCurrency priceType priceSpecification priceComponent validFrom validThrough priceValidUntil lowPrice"
    " highPrice offerCount minPrice maxPrice eligibleQuantity eligibleCustomerType eligibleTransactionVolume"
    " referenceQuantity valueReference unitCode validForMemberTier billingDuration businessFunction offers availability"
    " valueAddedTaxIncluded @type @id @value value minValue maxValue"
).split()
PLAIN = st.sampled_from(
    [
        None,
        True,
        "",
        "EUR",
        "ListPrice",
        "68.00",
        68,
        1,
        0,
        -5,
        "2026-06-15",
        "9999-12-31T23:59:59-14:00",
        "nonsense",
        [],
        {},
    ]
)


@given(
    st.recursive(
        PLAIN,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TERMS), inner, max_size=6),
        max_leaves=25,
    )
)
def test_any_offers_give_exact_prices_or_a_rejection_with_a_path(offers: Any):
    found = verdict(offers)
    if isinstance(found, RejectedDocumentError):
        assert found.path.startswith("$.offers")
        return
    for each in found.offers:
        assert each.price >= 0
        assert currencies.minor_units(each.currency) is not None
        assert each.price_valid_until is None or each.price_valid_until >= NOW
        assert found.prices_change_at is None or found.prices_change_at > NOW


def verdict(offers: Any) -> items.Product | RejectedDocumentError:
    try:
        return understood(offers)
    except RejectedDocumentError as error:
        return error
