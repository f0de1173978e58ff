from decimal import Decimal

import psycopg
import pytest

from cdp_platform.catalog import rounds
from cdp_platform.errors import BlockedError
from cdp_platform_tests.catalog.conftest import (
    BRAND,
    ORGANIZATION,
    Shop,
    brand,
    group,
    offer,
    organization,
    product,
    shard,
)


def test_a_feed_lands_whole(shop: Shop):
    shop.write_feed(shard(group(1), product(1)), shard(product(2)))
    found = shop.take()
    assert (found.outcome, found.items, found.new, found.rejected, found.shards) == ("landed", 3, 3, 0, 2)
    assert (found.groups, found.products, found.offers) == (1, 2, 2)
    assert shop.rows("SELECT organization_id, brand_id, sku, in_stock FROM catalog.product ORDER BY sku") == [
        (ORGANIZATION, BRAND, "SKU-1", True),
        (ORGANIZATION, BRAND, "SKU-2", True),
    ]
    assert shop.rows("SELECT price, currency, availability, seller_id FROM catalog.offer LIMIT 1") == [
        (Decimal("19.9"), "USD", "InStock", ORGANIZATION)
    ]


def test_a_price_of_many_digits_lands_beside_fractions_elsewhere_in_the_item(shop: Shop):
    media = [{"@type": "ImageObject", "url": "https://acme.example/1.png", "width": 1.5}]
    content = shard(product(1, offers=offer("PRICE"), **{"@cmp:media": media}), product(2))
    shop.write_feed(content.replace(b'"PRICE"', b"1234567.8901234567"))
    assert (shop.take().outcome, shop.rejected()) == ("landed", [])
    assert shop.rows("SELECT max(price) FROM catalog.offer") == [(Decimal("1234567.8901234567"),)]


def test_a_variant_has_its_groups_description_and_category_whichever_shard_that_is_in(shop: Shop):
    variant = product(1, isVariantOf={"@type": "ProductGroup", "@id": "urn:cmp:product:1"})
    shop.write_feed(shard(variant), shard(group(1)))
    shop.take()
    query = "SELECT group_id, description, categories, category_ids FROM catalog.product"
    assert shop.rows(query) == [
        ("urn:cmp:productgroup:1", "All of group 1", ["Gifts > Gift Cards"], ["gifts/gift-cards"])
    ]
    shop.write_feed(shard(variant), shard(group(1, description="New words", category=["A", "B > C"])))
    found = shop.take()
    assert (found.changed, found.unchanged) == (1, 1)
    assert shop.rows(query)[0][1:] == ("New words", ["A", "B > C"], ["a", "b/c"])


def test_a_product_without_its_group_lands_and_is_remarked(shop: Shop):
    shop.write_feed(shard(product(1, isVariantOf={"@id": "urn:cmp:productgroup:none"})))
    assert shop.take().remarks == {"group_not_in_feed": 1}
    assert shop.products() == ["urn:cmp:sku:1"]


def test_variants_nested_in_their_group_are_items_of_their_own(shop: Shop):
    variants = [product(1), {**product(2), "brand": None}, {"@type": "Product", "@id": "urn:cmp:sku:elsewhere"}]
    shop.write_feed(shard(group(1, hasVariant=variants)))
    found = shop.take()
    assert (found.items, found.groups, found.products) == (3, 1, 2)
    assert shop.rows("SELECT DISTINCT group_id, brand_id FROM catalog.product") == [("urn:cmp:productgroup:1", BRAND)]


def test_an_unchanged_feed_writes_nothing_at_all(shop: Shop):
    shop.write_feed(shard(group(1), product(1), product(2, offers=offer("abc"))))
    shop.take()
    with shop.warehouse.superuser() as connection:
        before = written(connection)
        found = shop.take()
        assert found.outcome == "unchanged"
        assert written(connection) == before


def test_an_item_that_did_not_change_is_not_rewritten_beside_one_that_did(shop: Shop):
    shop.write_feed(shard(group(1), product(1), product(2)))
    shop.take()
    before = shop.rows("SELECT product_id, ctid::text, xmin::text FROM catalog.product ORDER BY 1")
    shop.write_feed(shard(group(1), product(1), product(2, name="Another")))
    found = shop.take()
    assert (found.new, found.changed, found.unchanged, found.gone) == (0, 1, 2, 0)
    after = shop.rows("SELECT product_id, ctid::text, xmin::text FROM catalog.product ORDER BY 1")
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_vanished_is_removed_with_its_offers_and_comes_back(shop: Shop):
    shop.write_feed(shard(group(1), product(1), product(2)))
    shop.take()
    shop.write_feed(shard(product(1)))
    found = shop.take()
    assert (found.gone, found.groups, found.products, found.offers) == (2, 0, 1, 1)
    assert shop.products() == ["urn:cmp:sku:1"]
    assert shop.rows("SELECT product_id FROM catalog.offer WHERE removed_at IS NOT NULL") == [("urn:cmp:sku:2",)]
    shop.write_feed(shard(product(1), product(2)))
    assert shop.take().new == 1
    assert shop.products() == ["urn:cmp:sku:1", "urn:cmp:sku:2"]
    assert shop.last().offers == 2


def test_a_round_that_removes_too_much_waits_for_a_person(shop: Shop):
    shop.write_feed(shard(*map(product, range(50))))
    shop.take()
    shop.write_feed(shard(*map(product, range(30))))
    with pytest.raises(BlockedError, match=r"20 of 50 items would vanish.*cdp catalog approve --ingestor shop"):
        shop.take()
    assert len(shop.products()) == 50
    assert (shop.last().outcome, shop.last().gone) == ("blocked", 20)
    # What the person allowed is as much as was blocked, not whatever comes.
    rounds.approve(shop.connection, "acme", "shop")
    shop.write_feed(shard(*map(product, range(10))))
    with pytest.raises(BlockedError):
        shop.take()
    rounds.approve(shop.connection, "acme", "shop")
    assert shop.take().gone == 40
    assert len(shop.products()) == 10
    shop.write_feed(shard(*map(product, range(60))))
    shop.take()
    shop.write_feed(shard(*map(product, range(20))))
    with pytest.raises(BlockedError):
        shop.take()


def test_ten_items_may_always_vanish(shop: Shop):
    shop.write_feed(shard(*map(product, range(11))))
    shop.take()
    shop.write_feed(shard(product(0)))
    assert shop.take().gone == 10


@pytest.mark.parametrize("items", [[], [product(1, offers=offer("abc"))], [{"@type": "Thing"}]])
def test_a_feed_without_a_single_item_that_can_be_taken_removes_nothing(shop: Shop, items: list):
    shop.write_feed(shard(product(1), product(2)))
    shop.take()
    shop.write_feed(shard(*items))
    with pytest.raises(BlockedError, match="None of the"):
        shop.take()
    assert shop.products() == ["urn:cmp:sku:1", "urn:cmp:sku:2"]
    assert shop.last().rejected == len(items) == len(shop.rejected())
    rounds.approve(shop.connection, "acme", "shop")
    shop.take()
    assert len(shop.products()) == sum("sku" in item for item in items)


def test_a_rejected_item_keeps_its_last_good_version_and_the_rest_land(shop: Shop):
    shop.write_feed(shard(product(1), product(2)))
    shop.take()
    shop.write_feed(shard(product(1, offers=offer("abc")), product(2, name="New")))
    found = shop.take()
    assert (found.changed, found.rejected, found.gone) == (1, 1, 0)
    assert shop.rows("SELECT name FROM catalog.product ORDER BY product_id") == [("Product 1",), ("New",)]
    assert shop.rejected() == [("price_not_a_number", "$.itemListElement[0].item.offers.price")]
    shop.write_feed(shard(product(1), product(2, name="New")))
    shop.take()
    assert shop.rejected() == []


def test_the_first_of_several_with_the_same_id_sku_or_group_number_is_taken(shop: Shop):
    shop.write_feed(
        shard(group(1), group(2, productGroupID="G-1"), product(1), product(2, sku="SKU-1")),
        shard(product(1, name="Again"), product(3)),
    )
    found = shop.take()
    assert found.rejected_by_code == {"duplicate_id": 1, "duplicate_product_group_id": 1, "duplicate_sku": 1}
    assert (found.items, found.new) == (6, 3)
    assert shop.products() == ["urn:cmp:sku:1", "urn:cmp:sku:3"]
    assert shop.rows("SELECT name FROM catalog.product WHERE sku = 'SKU-1'") == [("Product 1",)]
    documents = shop.rows("SELECT document ->> 'name' FROM ops.rejected_record ORDER BY code")
    assert documents == [("Again",), ("Group 2",), ("Product 2",)]
    # An item that gets free lands, also from a shard that did not change.
    shop.write_feed(shard(group(1), product(2, sku="SKU-1")), shard(product(1, name="Again", sku="X"), product(3)))
    found = shop.take()
    assert found.rejected == 0
    assert shop.rows("SELECT product_id FROM catalog.product WHERE sku = 'SKU-1'") == [("urn:cmp:sku:2",)]


def test_group_numbers_and_skus_are_an_organizations_own(shop: Shop):
    other = "urn:cmp:org:other"
    registry = [
        organization(),
        organization(
            other,
            brand=brand("urn:cmp:brand:other", "Contoso"),
            **{"cmp:productFeed": {"@type": "DataFeed", "url": "other/index.json"}},
        ),
    ]
    shop.write("registry.json", registry)
    shop.write_feed(shard(group(1), product(1)))
    theirs = {"name": "Contoso"}
    shop.write_feed(shard(group(1, brand=theirs), product(1, brand=theirs)), folder="other")
    shop.take_registry()
    assert [found.rejected for found in shop.take_feeds()] == [0, 0]
    assert shop.rows("SELECT count(*), count(DISTINCT organization_id) FROM catalog.product") == [(2, 2)]


def test_products_become_texts_and_removed_ones_none(shop: Shop):
    attributes = [{"@type": "PropertyValue", "name": "color", "value": "red"}, {"name": "size", "value": ["S", "M"]}]
    shop.write_feed(shard(product(1, description="Warm", category="A > B", additionalProperty=attributes), product(2)))
    shop.take()
    texts = "SELECT entity_id, content FROM embeddings.entity_text WHERE kind = 'product' ORDER BY 1"
    assert shop.rows(texts) == [
        (
            f"{ORGANIZATION}#urn:cmp:sku:1",
            "Product 1; Warm; brand: Northwind; A > B; color: red, size: S, M; in stock",
        ),
        (f"{ORGANIZATION}#urn:cmp:sku:2", "Product 2; brand: Northwind; in stock"),
    ]
    waiting = "SELECT unnest(entity_ids) FROM embeddings.text_batch WHERE kind = 'product' ORDER BY 1"
    assert len(shop.rows(waiting)) == 2
    shop.rows("DELETE FROM embeddings.text_batch RETURNING 1")
    shop.write_feed(shard(product(1, description="Warm", category="A > B", url="https://acme.example/1")))
    shop.take()
    assert shop.rows(waiting) == [(f"{ORGANIZATION}#urn:cmp:sku:1",)]
    assert shop.rows(texts)[1] == (f"{ORGANIZATION}#urn:cmp:sku:2", None)


def test_categories_are_kept_with_what_is_above_them(shop: Shop):
    shop.write_feed(shard(group(1), product(1, category="Gifts > Cards & More")))
    shop.take()
    assert shop.rows("SELECT category_id, name, parent_id FROM catalog.category ORDER BY 1") == [
        ("gift-cards", "gift-cards", None),
        ("gifts", "Gifts", None),
        ("gifts/cards-more", "Cards & More", "gifts"),
        ("gifts/gift-cards", "Gift Cards", "gifts"),
    ]
    assert shop.rows("SELECT category_id FROM catalog.brand_category ORDER BY 1") == [
        ("gifts/cards-more",),
        ("gifts/gift-cards",),
    ]


def written(connection: psycopg.Connection) -> list:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = []
    for (table,) in connection.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('catalog', 'ops', 'embeddings')"
    ).fetchall():
        found += connection.execute(
            f"SELECT '{table}', count(*), max(xmin::text::bigint), max(ctid) FROM {table}"
        ).fetchall()
    return found
