import pytest

from cdp_platform.catalog import landing, registries, rounds
from cdp_platform.catalog.errors import InvalidDocumentError, UnreadableError
from cdp_platform.catalog.sources import open_source
from cdp_platform.errors import BlockedError, ConfigurationError
from cdp_platform_tests.catalog.conftest import (
    BRAND,
    ORGANIZATION,
    Shop,
    brand,
    ingestor_of,
    organization,
    product,
    shard,
)

OTHER = "urn:cmp:org:other"
BRANDS = "SELECT organization_id, brand_id FROM catalog.brand WHERE removed_at IS NULL ORDER BY 1, 2"


def other(stated: object = None) -> dict:
    feed = {"@type": "DataFeed", "url": "other/index.json"}
    return organization(OTHER, brand=stated or brand("urn:cmp:brand:other", "Contoso"), **{"cmp:productFeed": feed})


def test_a_registry_lands_and_an_unchanged_one_writes_nothing(shop: Shop):
    found = shop.take_registry()
    assert (found.outcome, found.items, found.new) == ("landed", 2, 2)
    assert shop.rows(BRANDS) == [(ORGANIZATION, BRAND)]
    assert shop.rows("SELECT category_id FROM catalog.organization_category") == [("gift-cards",)]
    before = shop.rows("SELECT xmin::text FROM catalog.organization")
    assert shop.take_registry().outcome == "unchanged"
    shop.write("registry.json", [organization()])
    assert shop.take_registry().unchanged == 2
    assert shop.rows("SELECT xmin::text FROM catalog.organization") == before


def test_an_unchanged_registry_is_taken_again_under_new_rules(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    shop.take_registry()
    monkeypatch.setattr(registries, "_RULES", registries._RULES + 1)
    assert shop.take_registry().changed == 2


def test_what_changed_in_a_registry_changes_here(shop: Shop):
    shop.take_registry()
    shop.write("registry.json", organization(name="Acme Ltd", **{"cmp:category": "books"}))
    assert shop.take_registry().changed == 1
    assert shop.rows("SELECT name FROM catalog.organization") == [("Acme Ltd",)]
    assert shop.rows("SELECT category_id FROM catalog.organization_category") == [("books",)]


def test_a_registry_that_cannot_be_read_changes_nothing_and_says_why(shop: Shop):
    shop.take_registry()
    shop.write("registry.json", b'{"@type": "Organi')
    with pytest.raises(InvalidDocumentError, match="is not JSON"):
        shop.take_registry()
    (found,) = rounds.last(shop.connection, "acme", "shop")
    assert found.outcome == "failed"
    assert "is not JSON" in str(found.reason)
    (shop.folder / "registry.json").unlink()
    with pytest.raises(UnreadableError):
        shop.take_registry()
    assert shop.rows(BRANDS) == [(ORGANIZATION, BRAND)]


def test_only_the_organizations_that_are_asked_for_are_taken(shop: Shop):
    shop.write("registry.json", [organization(), other()])
    asking = ingestor_of(shop.folder, filter={"organization": [OTHER.replace(":org:", ":orgid:")]})
    with open_source(asking) as source:
        registries.take_registry(shop.connection, source, asking, ingestors=["shop"])
        assert shop.rows("SELECT organization_id FROM catalog.organization") == [(OTHER,)]
        shop.write("registry.json", [organization()])
        with pytest.raises(InvalidDocumentError, match="which the ingestor asks for"):
            registries.take_registry(shop.connection, source, asking, ingestors=["shop"])
    assert len(shop.rows(BRANDS)) == 1


def test_a_registry_that_lost_a_brand_keeps_its_feed_from_writing_into_it(shop: Shop):
    second = brand("urn:cmp:brand:second", "Second")
    shop.write("registry.json", organization(brand=[brand(), second]))
    feed = shard(product(1), product(2, brand=second))
    shop.write_feed(feed)
    shop.take()
    shop.write("registry.json", organization())
    # The feed is the same to the byte, and yet another one.
    found = shop.take()
    assert (found.outcome, found.rejected_by_code, found.gone) == ("landed", {"brand_not_owned": 1}, 1)
    assert shop.products() == ["urn:cmp:sku:1"]
    shop.write("registry.json", organization(brand=[brand(), second]))
    assert shop.take().new == 1
    assert shop.rejected() == []


def test_a_brand_that_is_lost_with_many_products_waits_for_a_person(shop: Shop):
    second = brand("urn:cmp:brand:second", "Second")
    shop.write("registry.json", organization(brand=[brand(), second]))
    shop.write_feed(shard(*[product(number, brand=second if number % 2 else brand()) for number in range(40)]))
    shop.take()
    shop.write("registry.json", organization())
    with pytest.raises(BlockedError, match="20 of 40"):
        shop.take()
    assert len(shop.products()) == 40


def test_an_organization_that_the_registry_lost_keeps_its_products_until_a_person_approves(shop: Shop):
    shop.write("registry.json", [organization(), other()])
    shop.write_feed(shard(product(1)))
    shop.write_feed(shard(product(2, brand="Contoso")), folder="other")
    shop.take_registry()
    shop.take_feeds()
    shop.write("registry.json", [other()])
    shop.take_registry()
    with pytest.raises(BlockedError, match="no longer lists the organization"):
        shop.take_feeds()
    assert len(shop.products()) == 2
    (waiting,) = rounds.approve(shop.connection, "acme", "shop")
    assert waiting.organization_id == ORGANIZATION
    shop.take_feeds()
    assert shop.products() == ["urn:cmp:sku:2"]
    assert [organization_id for organization_id, _ in shop_feeds(shop)] == [OTHER]
    # Its feed is the same to the byte, and yet to be taken again.
    shop.write("registry.json", [organization(), other()])
    shop.take_registry()
    shop.take_feeds()
    assert shop.products() == ["urn:cmp:sku:1", "urn:cmp:sku:2"]


def test_another_ingestor_can_take_neither_an_organization_nor_a_brand(shop: Shop):
    shop.take_registry()
    hostile = ingestor_of(shop.folder, name="hostile", registry="hostile.json")
    shop.write("hostile.json", [organization(name="Mine now"), other(brand())])
    with open_source(hostile) as source:
        found = registries.take_registry(shop.connection, source, hostile, ingestors=["shop", "hostile"])
    assert found.rejected_by_code == {"organization_not_owned": 1, "brand_not_owned": 1}
    assert shop.rows("SELECT organization_id, name, ingestor FROM catalog.organization ORDER BY 1") == [
        (ORGANIZATION, "Acme", "shop"),
        (OTHER, "Acme", "hostile"),
    ]
    assert shop.rows(BRANDS) == [(ORGANIZATION, BRAND)]


def test_a_brand_that_its_owner_gave_up_is_free_for_who_was_refused_it(shop: Shop):
    shop.take_registry()
    later = ingestor_of(shop.folder, name="later", registry="later.json")
    shop.write("later.json", other(brand()))
    both = ["shop", "later"]
    with open_source(later) as source:
        assert registries.take_registry(shop.connection, source, later, ingestors=both).rejected == 1
        shop.write("registry.json", organization(brand=[]))
        registries.take_registry(shop.connection, source, shop.ingestor, ingestors=both)
        assert shop.rows(BRANDS) == []
        assert registries.take_registry(shop.connection, source, later, ingestors=both).rejected == 0
    assert shop.rows(BRANDS) == [(OTHER, BRAND)]
    assert shop.rejected() == []


def test_a_feed_can_write_only_into_brands_of_its_own_organization(shop: Shop):
    shop.write("registry.json", [organization(), other()])
    shop.write_feed(shard(product(1)))
    shop.write_feed(shard(product(1, name="Stolen", brand=brand()), product(2, brand="Contoso")), folder="other")
    shop.take_registry()
    theirs = {found.organization_id: found for found in shop.take_feeds()}[OTHER]
    assert theirs.rejected_by_code == {"brand_not_owned": 1}
    assert shop.rows("SELECT organization_id, name FROM catalog.product WHERE brand_id = %s", BRAND) == [
        (ORGANIZATION, "Product 1")
    ]


def test_a_brand_moves_within_a_registry(shop: Shop):
    shop.write("registry.json", [organization(), other()])
    shop.take_registry()
    shop.write("registry.json", [organization(brand=brand("urn:cmp:brand:new", "New")), other([brand()])])
    shop.take_registry()
    assert shop.rows(BRANDS) == [(ORGANIZATION, "urn:cmp:brand:new"), (OTHER, BRAND)]


def test_what_belongs_to_an_ingestor_that_is_no_more_is_free(shop: Shop):
    shop.take_registry()
    renamed = ingestor_of(shop.folder, name="renamed")
    with open_source(renamed) as source:
        found = registries.take_registry(shop.connection, source, renamed, ingestors=["renamed"])
    assert found.rejected == 0
    assert shop.rows("SELECT ingestor FROM catalog.organization") == [("renamed",)]
    assert shop.rows(BRANDS) == [(ORGANIZATION, BRAND)]


def test_a_feed_that_leads_outside_is_refused_and_the_organization_is_not(shop: Shop):
    shop.write("registry.json", organization(**{"cmp:productFeed": {"@type": "DataFeed", "url": "../../etc/passwd"}}))
    assert shop.take_registry().rejected_by_code == {"feed_address_refused": 1}
    assert shop_feeds(shop) == []


def test_the_ingestor_may_name_the_feed_itself(shop: Shop):
    named = ingestor_of(shop.folder, feed_path="elsewhere/index.json")
    shop.write_feed(shard(product(1)), folder="elsewhere", orgid=ORGANIZATION)
    shop.write("registry.json", [organization(), other()])
    shop.take_registry()
    with open_source(named) as source:
        assert [found.organization_id for found in landing.take_feeds(shop.connection, source, named)] == [ORGANIZATION]
        shop.write_feed(shard(product(1)), folder="elsewhere")
        with pytest.raises(InvalidDocumentError, match="Leave feed_path out"):
            landing.take_feeds(shop.connection, source, named)


def test_there_is_nothing_to_approve_where_nothing_waits(shop: Shop):
    shop.take_registry()
    with pytest.raises(ConfigurationError, match="waits for approval"):
        rounds.approve(shop.connection, "acme", "shop")


def shop_feeds(shop: Shop) -> list:
    with open_source(shop.ingestor) as source:
        return registries.feeds(shop.connection, source, shop.ingestor)
