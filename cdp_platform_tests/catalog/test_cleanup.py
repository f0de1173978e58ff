import pytest

from cdp_platform import settings
from cdp_platform.catalog import cleanup, rounds
from cdp_platform.errors import BlockedError
from cdp_platform_tests.catalog.conftest import TENANT, Shop, group, product, shard


def age(shop: Shop, days: int) -> None:
    """Make everything that is removed, and every round, this much older."""
    for table in ("product", "product_group", "offer"):
        shop.rows(f"UPDATE catalog.{table} SET removed_at = removed_at - %s * interval '1 day' RETURNING 1", days)
    shop.rows("UPDATE catalog.feed_round SET finished_at = finished_at - %s * interval '1 day' RETURNING 1", days)


def due(shop: Shop, *, dry_run: bool = False, **more: float) -> dict[str, int]:
    found = cleanup.clean(shop.connection, TENANT, dry_run=dry_run, **more)
    assert all(each.deleted == (0 if dry_run else each.due) for each in found)
    return {each.table: each.due for each in found if each.due}


def test_what_is_removed_goes_after_its_retention_with_what_hangs_on_it(shop: Shop):
    shop.write_feed(shard(group(1), product(1, category="Rare > Thing"), product(2)))
    shop.take()
    shop.write_feed(shard(product(2)))
    shop.take()
    age(shop, 29)
    assert due(shop) == {"brand_category": 2, "feed_round": 1}
    age(shop, 2)
    expected = {"offer": 1, "product": 1, "product_group": 1, "category": 4}
    assert due(shop, dry_run=True) == expected
    assert len(shop.rows("SELECT FROM catalog.product")) == 2
    assert due(shop) == expected
    assert shop.rows("SELECT product_id FROM catalog.product") == [("urn:cmp:sku:2",)]
    assert shop.rows("SELECT product_id FROM catalog.offer") == [("urn:cmp:sku:2",)]
    # The registry's own stays.
    assert shop.rows("SELECT category_id FROM catalog.category") == [("gift-cards",)]
    assert due(shop) == {}


def test_the_retention_is_a_setting(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.write_feed(shard(product(1), product(2)))
    shop.take()
    shop.write_feed(shard(product(2)))
    shop.take()
    age(shop, 3)
    assert "product" not in due(shop, dry_run=True)
    assert "feed_round" not in due(shop, dry_run=True)
    monkeypatch.setenv("PRODUCT_RETENTION_DAYS", "2")
    monkeypatch.setenv("ROUND_RETENTION_DAYS", "2")
    settings.forget()
    found = due(shop, dry_run=True)
    assert (found["product"], found["feed_round"]) == (1, 1)


def test_live_rows_and_the_newest_round_never_go(shop: Shop):
    shop.write_feed(shard(group(1), product(1)))
    shop.take()
    age(shop, 1000)
    assert due(shop) == {}
    assert shop.last().outcome == "landed"


def test_a_blocked_round_stays_approvable_behind_failed_ones(shop: Shop):
    shop.write_feed(shard(*map(product, range(40))))
    shop.take()
    shop.write_feed(shard(product(1)))
    with pytest.raises(BlockedError):
        shop.take()
    (shop.folder / "feed/feed-000.json").unlink()
    for _ in range(2):
        with pytest.raises(Exception, match=r"feed-000\.json"):
            shop.take()
    age(shop, 8)
    assert due(shop) == {"feed_round": 2}
    rounds.approve(shop.connection, TENANT, "shop")
    shop.write_feed(shard(product(1)))
    assert shop.take().gone == 39


def test_a_cleanup_of_too_much_deletes_nothing_until_it_is_allowed(shop: Shop):
    shop.write_feed(shard(*map(product, range(150))))
    shop.take()
    shop.write_feed(shard(product(1)))
    with pytest.raises(BlockedError):
        shop.take()
    rounds.approve(shop.connection, TENANT, "shop")
    shop.take()
    age(shop, 31)
    with pytest.raises(BlockedError, match=r"149 of 150 rows of catalog\.product would be deleted"):
        due(shop)
    assert len(shop.rows("SELECT FROM catalog.product")) == 150
    assert due(shop, max_share=1)["product"] == 149
