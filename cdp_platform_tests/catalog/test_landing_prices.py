"""Prices in the tables: those beside the price, and those that begin and end while no file changes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdp_platform.catalog import brands, changes, landing
from cdp_platform.catalog.rounds import FeedRound
from cdp_platform.catalog.sources import open_source
from cdp_platform_tests.catalog.conftest import ORGANIZATION, Shop, offer, product, shard

JUNE = datetime(2026, 6, 15, tzinfo=UTC)


def take(shop: Shop, now: datetime) -> FeedRound:
    with open_source(shop.ingestor) as source:
        return landing.take_feed(shop.connection, source, shop.ingestor, ORGANIZATION, "feed/index.json", now=now)


def prices(shop: Shop) -> list[Any]:
    return [
        row[0] for row in shop.rows("SELECT price FROM catalog.offer WHERE removed_at IS NULL ORDER BY product_id, 1")
    ]


def spec(price: Any, **more: Any) -> dict[str, Any]:
    return {"@type": "UnitPriceSpecification", "price": price, "priceCurrency": "EUR", **more}


@pytest.fixture
def fair(shop: Shop) -> Shop:
    """A sale from 20 to 22 June, a price until 25 June, one from 1 July, and one for ever."""
    sale = spec("68.00", validFrom="2026-06-20", validThrough="2026-06-22")
    shop.write_feed(
        shard(
            product(1, offers={"price": "85.00", "priceCurrency": "EUR", "priceSpecification": sale}),
            product(2, offers=offer(20, priceValidUntil="2026-06-25")),
            product(3, offers=offer(30, validFrom="2026-07-01")),
            product(4, offers=offer(40)),
        )
    )
    shop.take_registry()
    return shop


def test_a_list_price_a_range_and_other_prices_stand_beside_the_price(shop: Shop):
    shop.write_feed(
        shard(
            product(
                1, offers={"priceSpecification": [spec("85.00", priceType="https://schema.org/ListPrice"), spec(68)]}
            ),
            product(2, offers={"lowPrice": 5, "highPrice": 9.5, "offerCount": 3, "priceCurrency": "EUR"}),
        )
    )
    shop.take()
    assert shop.rows(
        "SELECT price, list_price, low_price, high_price, offer_count, other_prices FROM catalog.offer ORDER BY 1 DESC"
    ) == [
        (68, Decimal("85.00"), None, None, None, [{"kind": "list", "price": "85.00", "currency": "EUR"}]),
        (5, None, 5, Decimal("9.5"), 3, []),
    ]


def test_prices_begin_and_end_while_no_file_changes(fair: Shop):
    found = take(fair, JUNE)
    assert (found.outcome, found.rejected_by_code) == ("landed", {"only_other_prices": 1})
    assert (prices(fair), found.next_change_at) == ([85, 20, 40], datetime(2026, 6, 20, tzinfo=UTC))
    before = fair.rows("SELECT product_id, ctid::text, xmin::text FROM catalog.product ORDER BY 1")
    # Until then the files say the same, and nothing is read.
    assert take(fair, datetime(2026, 6, 19, 23, tzinfo=UTC)).outcome == "unchanged"
    found = take(fair, datetime(2026, 6, 20, tzinfo=UTC))
    assert (found.outcome, found.changed, found.unchanged) == ("landed", 1, 2)
    assert (prices(fair), found.next_change_at) == ([68, 20, 40], datetime(2026, 6, 23, tzinfo=UTC))
    after = fair.rows("SELECT product_id, ctid::text, xmin::text FROM catalog.product ORDER BY 1")
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True]
    # Several changes may have passed when it is read again.
    found = take(fair, datetime(2026, 7, 2, tzinfo=UTC))
    assert (prices(fair), found.next_change_at) == ([85, 30, 40], None)
    assert found.rejected_by_code == {"only_other_prices": 1}
    assert take(fair, datetime(2027, 1, 1, tzinfo=UTC)).outcome == "unchanged"


def test_a_price_that_is_over_does_not_stay(fair: Shop):
    take(fair, JUNE)
    assert fair.rows("SELECT in_stock FROM catalog.product WHERE product_id = 'urn:cmp:sku:2'") == [(True,)]
    found = take(fair, datetime(2026, 6, 26, tzinfo=UTC))
    assert (found.gone, found.rejected_by_code) == (0, {"only_other_prices": 2})
    # The product is still there, without a price that nobody can pay.
    assert "urn:cmp:sku:2" in fair.products()
    assert prices(fair) == [85, 40]
    assert fair.rows("SELECT in_stock FROM catalog.product WHERE product_id = 'urn:cmp:sku:2'") == [(None,)]
    assert ("only_other_prices", "$.itemListElement[1].item.offers") in fair.rejected()
    # It comes back with a new price.
    fair.write_feed(shard(product(2, offers=offer(21)), product(4, offers=offer(40))))
    take(fair, datetime(2026, 6, 27, tzinfo=UTC))
    assert prices(fair) == [21, 40]


def test_prices_that_all_end_at_once_do_not_stay(shop: Shop):
    shop.write_feed(shard(*(product(number, offers=offer(20, priceValidUntil="2026-06-25")) for number in range(30))))
    shop.take_registry()
    take(shop, JUNE)
    assert len(prices(shop)) == 30
    found = take(shop, datetime(2026, 6, 26, tzinfo=UTC))
    assert (found.outcome, found.rejected_by_code, found.gone) == ("landed", {"only_other_prices": 30}, 0)
    assert (len(shop.products()), prices(shop)) == (30, [])


def test_a_round_is_asked_for_when_a_price_has_changed_by_itself(shop: Shop):
    now = datetime.now(UTC)
    ends = (now + timedelta(hours=1)).isoformat()
    shop.write_feed(shard(product(1, offers=offer(20, priceValidUntil=ends)), product(2)))
    shop.take()
    assert not changes.due_again(shop.connection, shop.ingestor)
    over = (now - timedelta(minutes=1)).isoformat()
    shop.write_feed(shard(product(1, offers=offer(20, priceValidUntil=over)), product(2)))
    take(shop, now - timedelta(hours=2))
    assert changes.due_again(shop.connection, shop.ingestor)
    shop.take_feeds()
    assert not changes.due_again(shop.connection, shop.ingestor)


def test_an_unchanged_feed_is_taken_again_under_new_rules(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.write_feed(shard(product(1)))
    shop.take()
    assert shop.take().outcome == "unchanged"
    monkeypatch.setattr(brands, "VERSION", brands.VERSION + 1)
    assert shop.take().changed == 1


def test_what_is_remarked_of_an_item_is_counted_as_long_as_it_is_there(shop: Shop):
    odd = product(1, gtin13="1.23457E+12", offers=offer("19.990", priceCurrency="VND"))
    shop.write_feed(shard(odd, product(2, gtin13="4006381333931")))
    assert shop.take().remarks == {"gtin_not_valid": 1, "price_finer_than_currency": 1}
    assert shop.rows("SELECT gtin, remarks FROM catalog.product ORDER BY product_id") == [
        (None, ["gtin_not_valid", "price_finer_than_currency"]),
        ("4006381333931", []),
    ]
    # Also in a round in which another item changed.
    shop.write_feed(shard(odd, product(2)))
    assert shop.take().remarks == {"gtin_not_valid": 1, "price_finer_than_currency": 1}
    shop.write_feed(shard(product(1), product(2)))
    assert shop.take().remarks == {}
