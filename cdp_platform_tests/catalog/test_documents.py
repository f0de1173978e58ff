"""What registries, indexes and items say, without a database."""

from decimal import Decimal
from typing import Any

import orjson
import pytest

from cdp_platform.catalog import items, jsonld
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.catalog.indexes import read_index
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.organizations import read_registry
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform_tests.catalog.conftest import BRAND, ORGANIZATION, brand, group, offer, organization, product, shard

BRANDS = Brands({BRAND: "Northwind"})


def understood(**more: Any) -> items.Product:
    return items.to_product(Entry("$", product(1, **more)), BRANDS)


def refused(**more: Any) -> tuple[str, str]:
    with pytest.raises(RejectedDocumentError) as caught:
        understood(**more)
    return caught.value.code, caught.value.path


def taken(entry: Entry) -> items.Product:
    jsonld.canonical(entry.document)
    return items.to_product(entry, BRANDS)


# Registries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [organization(), [organization()], {"@context": "https://schema.org", "@graph": [organization()]}],
    ids=["object", "array", "graph"],
)
def test_a_registry_is_an_object_an_array_or_a_graph(document: Any):
    (found,) = read_registry(orjson.dumps(document), "it").organizations
    assert (found.urn, found.feed_url, found.categories) == (ORGANIZATION, "feed/index.json", ["gift-cards"])
    assert [(each.urn, each.name) for each in found.brands] == [(BRAND, "Northwind")]


@pytest.mark.parametrize("stated", [brand(), [brand()]], ids=["one", "many"])
def test_a_brand_may_stand_alone_or_in_a_list(stated: Any):
    assert len(read_registry(orjson.dumps(organization(brand=stated)), "it").organizations[0].brands) == 1


def test_both_families_of_urns_are_one():
    other = organization(
        ORGANIZATION.replace(":org:", ":orgid:"), brand=brand(BRAND.replace(":brand:", ":brandid:").upper())
    )
    (found,) = read_registry(orjson.dumps(other), "it").organizations
    assert (found.urn, found.brands[0].urn) == (ORGANIZATION, BRAND)


def test_an_organization_may_be_its_own_brand_by_cmp_brand_id():
    document = {**organization(), "cmp:brandId": BRAND}
    del document["brand"]
    assert read_registry(orjson.dumps(document), "it").organizations[0].brands[0].name == "Acme"


def test_a_category_as_text_is_one_category():
    document = organization(**{"cmp:category": "books"})
    assert read_registry(orjson.dumps(document), "it").organizations[0].categories == ["books"]


def test_an_entry_that_cannot_be_taken_is_refused_and_the_others_are_not():
    entries = [
        organization(),
        {"@type": "cmp:DiscoveryNode", "name": "Node"},
        organization("nothing"),
        organization("urn:cmp:org:2", name=None),
        organization("urn:cmp:org:3", brand=[brand(), {"@type": "Brand", "name": "No URN"}, "text"]),
    ]
    registry = read_registry(orjson.dumps(entries), "it")
    assert [each.urn for each in registry.organizations] == [ORGANIZATION, "urn:cmp:org:3"]
    assert [(each.error.code, each.error.path) for each in registry.refused] == [
        ("not_an_organization", "$[1]['@type']"),
        ("organization_id_missing", "$[2].identifier"),
        ("name_missing", "$[3].name"),
        ("brand_id_missing", "$[4].brand[1].identifier"),
        ("not_a_brand", "$[4].brand[2]"),
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b"[]", b"7", b'"x"', b"\xff\xfe", b"{}", b"NaN"])
def test_what_is_no_registry_is_an_error(content: bytes):
    with pytest.raises(InvalidDocumentError):
        read_registry(content, "The registry")


# Indexes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whose",
    [
        {"orgid": ORGANIZATION.replace(":org:", ":orgid:")},
        {"organization": {"urn": ORGANIZATION, "name": "Acme"}},
        {"organization": {"identifier": {"propertyID": " cmp:orgId", "value": ORGANIZATION}}},
    ],
)
def test_an_index_says_whose_it_is_in_several_ways(whose: dict[str, Any]):
    assert read_index(orjson.dumps({"shards": ["a.json"], **whose}), "it").organization_urn == ORGANIZATION


def test_shards_are_texts_or_objects():
    shards = ["a.json", {"url": "b.json", "lastUpdated": "2026-01-01T00:00:00Z"}]
    index = read_index(orjson.dumps({"shards": shards, "totalShards": 2, "lastUpdated": "2026-01-02"}), "it")
    assert [(each.reference, each.last_updated) for each in index.shards] == [
        ("a.json", None),
        ("b.json", "2026-01-01T00:00:00Z"),
    ]
    assert (index.organization_urn, index.last_updated) == (None, "2026-01-02")


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({"shards": []}, "lists no shard"),
        ({"shards": ["a"], "totalShards": 10}, "says that there are 10 shards and lists 1"),
        ({"shards": ["a"], "totalShards": "1"}, "not_an_integer"),
        ({"shards": [{"lastUpdated": "x"}]}, "shard_without_address"),
        ({"shards": "a"}, "no list of shards"),
        ({"shards": ["a"], "orgid": "acme"}, "organization_id_missing"),
        (["a"], "no list of shards"),
    ],
)
def test_an_index_that_is_not_whole_is_an_error(index: Any, why: str):
    with pytest.raises(InvalidDocumentError, match=why):
        read_index(orjson.dumps(index), "The index")


# Prices ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "exact"),
    [
        (b"19.99", "19.99"),
        (b"0.1", "0.1"),
        (b"2629.95", "2629.95"),
        (b"1e2", "100"),
        (b"100000000000000.01", "100000000000000.01"),
        (b"19.990000000000000001", "19.990000000000000001"),
        (b'"1299.00"', "1299.00"),
        (b'" 5 "', "5"),
        (b"0", "0"),
    ],
)
def test_a_price_is_exactly_what_is_written(literal: bytes, exact: str):
    content = shard(product(1, offers=offer("PRICE"))).replace(b'"PRICE"', literal)
    (entry,) = items.read_shard(content, "it")
    assert items.to_product(entry, BRANDS).offers[0].price == Decimal(exact)


def test_a_number_has_one_hash_however_it_is_written():
    (first,) = items.read_shard(shard(product(1, weight="N")).replace(b'"N"', b"19.99"), "it")
    (second,) = items.read_shard(shard(product(1, weight="N")).replace(b'"N"', b"1.9990e1"), "it")
    assert jsonld.canonical(first.document) == jsonld.canonical(second.document)


@pytest.mark.parametrize(
    ("literal", "code"),
    [
        (b'"abc"', "price_not_a_number"),
        (b'"$5"', "price_not_a_number"),
        (b'"1,299.00"', "price_not_a_number"),
        (b'"NaN"', "price_not_a_number"),
        (b"true", "price_not_a_number"),
        (b"[1, 2]", "price_not_a_number"),
        (b'{"value": 1}', "price_not_a_number"),
        (b"-1", "price_negative"),
        (b'"-0.01"', "price_negative"),
        (b"1e309", "price_out_of_range"),
        (b'"1e309"', "price_out_of_range"),
        (b"1e15", "price_out_of_range"),
        (b"1e-30", "price_out_of_range"),
        (b"1e99999", "number_out_of_range"),
        (b"1e99999999999999999999", "number_out_of_range"),
        (b"null", "price_missing"),
        (b'""', "price_missing"),
    ],
)
def test_what_is_no_price_is_refused_with_its_item_only(literal: bytes, code: str):
    content = shard(product(1, offers=offer("PRICE")), product(2)).replace(b'"PRICE"', literal)
    first, second = items.read_shard(content, "it")
    with pytest.raises(RejectedDocumentError) as caught:
        taken(first)
    assert caught.value.code == code
    assert caught.value.path.endswith("offers.price")
    assert items.to_product(second, BRANDS).sku == "SKU-2"


# Offers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stated", "count"), [(offer(), 1), ([offer(), offer(5)], 2), (None, 0), ([], 0), ("", 0)])
def test_offers_are_none_one_or_many(stated: Any, count: int):
    assert len(understood(offers=stated).offers) == count


def test_offers_in_an_aggregate_are_taken_themselves():
    assert [each.price for each in understood(offers={"lowPrice": 1, "offers": [offer(1), offer(2)]}).offers] == [1, 2]


@pytest.mark.parametrize(
    ("stated", "known", "in_stock"),
    [
        ("https://schema.org/InStock", "InStock", True),
        ("http://schema.org/OutOfStock", "OutOfStock", False),
        ("InStock", "InStock", True),
        ("schema:PreOrder", "PreOrder", False),
        ("IN_STOCK", "InStock", True),
        ({"@id": "https://schema.org/SoldOut"}, "SoldOut", False),
        (["https://schema.org/InStock"], "InStock", True),
        (None, None, None),
    ],
)
def test_availability_is_an_address_with_http_https_or_bare(stated: Any, known: str | None, in_stock: bool | None):
    found = understood(offers=offer(availability=stated))
    assert (found.offers[0].availability, found.in_stock) == (known, in_stock)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"availability": "maybe"}, "availability_unknown"),
        ({"availability": 7}, "availability_unknown"),
        ({"availability": True}, "availability_unknown"),
        ({"availability": ["InStock", "OutOfStock"]}, "availability_unknown"),
        ({"availability": {"name": "here"}}, "availability_unknown"),
        ({"priceCurrency": None}, "currency_missing"),
        ({"priceCurrency": "dollars"}, "currency_unknown"),
        ({"priceCurrency": "RMB"}, "currency_unknown"),
        ({"priceCurrency": "ZZZ"}, "currency_unknown"),
        ({"priceCurrency": "XXX"}, "currency_unknown"),
        ({"priceCurrency": "DEM"}, "currency_unknown"),
        ({"priceValidUntil": "tomorrow"}, "not_a_timestamp"),
        ({"inventoryLevel": {"value": "many"}}, "inventory_not_a_number"),
    ],
)
def test_an_offer_that_cannot_be_understood_is_refused(more: dict[str, Any], code: str):
    (name,) = more
    assert refused(offers=[offer(), offer(**more)]) == (code, f"$.offers[1].{name}")


def test_an_offer_that_is_no_object_is_refused():
    assert refused(offers=["cheap"]) == ("offer_not_understood", "$.offers[0]")


# Items ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "categories", "ids"),
    [
        ("A > B", ["A > B"], ["a/b"]),
        (["A > B", "C", "C"], ["A > B", "C"], ["a/b", "c"]),
        ([{"@type": "CategoryCode", "name": "Food & Drink"}], ["Food & Drink"], ["food-drink"]),
        (None, [], []),
        ("", [], []),
        ([None, " > "], [], []),
        ("Home &gt; Kitchen", ["Home > Kitchen"], ["home/kitchen"]),
        (["Home &gt; Kitchen", "Home > Kitchen", "Home &amp;gt; Kitchen"], ["Home > Kitchen"], ["home/kitchen"]),
        ("Home&nbsp;&amp;&#160;Living > \u200bKitchen", ["Home & Living > Kitchen"], ["home-living/kitchen"]),
        ("Fish &copyright", ["Fish &copyright"], ["fish-copyright"]),
        (2271, ["2271"], ["2271"]),
        ({"@language": "en", "@value": "Food"}, ["Food"], ["food"]),
    ],
)
def test_a_category_is_a_path_a_list_or_nothing(stated: Any, categories: list[str], ids: list[str]):
    found = understood(category=stated)
    assert (found.categories, found.category_ids) == (categories, ids)


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"@id": None}, "id_missing", "$['@id']"),
        ({"@id": "just words"}, "id_not_an_iri", "$['@id']"),
        ({"@id": f"urn:cmp:sku:{'x' * 500}"}, "id_not_an_iri", "$['@id']"),
        ({"sku": ""}, "sku_missing", "$.sku"),
        ({"sku": "   "}, "sku_missing", "$.sku"),
        ({"sku": ["a", "b"]}, "not_a_text", "$.sku"),
        ({"sku": True}, "not_a_text", "$.sku"),
        ({"sku": "x" * 500}, "text_too_long", "$.sku"),
        ({"name": None}, "name_missing", "$.name"),
        ({"name": "\u200b"}, "name_missing", "$.name"),
        ({"name": " \u2800\u00ad\ufeff"}, "name_missing", "$.name"),
        ({"name": "&nbsp;&#8203;"}, "name_missing", "$.name"),
        ({"category": True}, "category_not_a_text", "$.category"),
        ({"category": [["a", "b"]]}, "category_not_a_text", "$.category[0]"),
        ({"image": True}, "not_a_text", "$.image"),
        ({"brand": None}, "brand_missing", "$.brand"),
        ({"brand": {}}, "brand_missing", "$.brand"),
        ({"brand": [brand(), brand()]}, "several_brands", "$.brand"),
        ({"brand": "Contoso"}, "brand_unknown", "$.brand"),
        ({"brand": brand("urn:cmp:brand:else", "Northwind")}, "brand_not_owned", "$.brand"),
        ({"brand": {"@id": "urn:cmp:brand:else"}}, "brand_not_owned", "$.brand"),
        ({"isVariantOf": 7}, "group_not_understood", "$.isVariantOf"),
        ({"isVariantOf": {"@type": "ProductGroup"}}, "id_missing", "$.isVariantOf['@id']"),
        ({"additionalProperty": ["red"]}, "attribute_not_understood", "$.additionalProperty[0]"),
    ],
)
def test_a_product_that_cannot_be_understood_is_refused_with_code_and_path(more: dict[str, Any], code: str, path: str):
    assert refused(**more) == (code, path)


@pytest.mark.parametrize(
    "stated",
    [
        "Northwind",
        " northwind ",
        BRAND,
        {"@id": BRAND},
        brand(BRAND.replace(":brand:", ":brandid:"), "Whatever"),
        {"name": "NORTHWIND", "@id": "#brand"},
        [{"name": "Northwind"}],
        {"name": "x", "identifier": BRAND},
    ],
)
def test_a_brand_is_found_by_urn_or_else_by_its_name_in_the_registry(stated: Any):
    found = understood(brand=stated)
    assert (found.brand_id, found.brand_name) == (BRAND, "Northwind")


def test_images_are_texts_or_objects():
    images = ["a.png", {"@type": "ImageObject", "url": "b.png"}, {"contentUrl": "c.png"}]
    assert understood(image=images).images == ["a.png", "b.png", "c.png"]
    assert understood(image="a.png").images == ["a.png"]


def test_both_families_of_group_urns_are_one():
    entry = Entry("$", group(1, **{"@id": "urn:cmp:product:7"}))
    assert items.to_group(entry, BRANDS).group_id == understood(isVariantOf="urn:cmp:productgroup:7").group_id


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"@type": "ItemList"}', b'{"@type": "Thing"}', b"\0"])
def test_what_is_no_shard_is_an_error(content: bytes):
    with pytest.raises(InvalidDocumentError):
        items.read_shard(content, "The shard")


def test_a_shard_that_is_cut_short_anywhere_is_an_error():
    whole = shard(product(1), product(2))
    for end in range(0, len(whole), 7):
        with pytest.raises(InvalidDocumentError):
            items.read_shard(whole[:end], "The shard")


# What no database can hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [250, 1_100, 10_000, 200_000])
def test_an_item_that_is_nested_too_deep_costs_itself_only(depth: int):
    content = shard(product(1, extra="DEEP"), product(2)).replace(b'"DEEP"', b'[{"a":' * depth + b"1" + b"}]" * depth)
    first, second = items.read_shard(content, "it")
    with pytest.raises(RejectedDocumentError) as caught:
        jsonld.canonical(first.document)
    assert caught.value.code == "nested_too_deep"
    assert jsonld.printable(first.document)["sku"] == "SKU-1"
    assert jsonld.canonical(second.document)


@pytest.mark.parametrize(
    ("literal", "code"),
    [(b'"a\\u0000b"', "nul_character"), (b'"\\ud800"', "lone_surrogate"), (b'{"\\ud800": 1}', "lone_surrogate")],
)
def test_characters_that_cannot_be_stored_cost_their_item_only(literal: bytes, code: str):
    content = shard(product(1, description="BAD"), product(2)).replace(b'"BAD"', literal)
    first, second = items.read_shard(content, "it")
    with pytest.raises(RejectedDocumentError) as caught:
        jsonld.canonical(first.document)
    assert (caught.value.code, caught.value.path) == (code, "$.description")
    assert jsonld.canonical(second.document)


# Contexts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context",
    [
        None,
        "https://schema.org",
        "https://unknown.example/context",
        ["https://schema.org", {"cmp": "https://schema.commercemesh.ai/ns#"}],
        {"schema": "https://schema.org/", "cmp": "https://schema.commercemesh.ai/ns#"},
        {"@vocab": "https://schema.org/", "@language": "en"},
        {"name": "schema:name", "price": {"@id": "https://schema.org/price"}, "extra": "https://example.com/extra"},
        {"image": {"@id": "schema:image", "@type": "@id", "@container": "@set"}},
        {"image": {"@id": "schema:image", "@container": ["@set"]}},
    ],
)
def test_usual_contexts_are_taken_as_text(context: Any):
    jsonld.check_context({"@context": context})


@pytest.mark.parametrize(
    "context",
    [
        {"price": "https://schema.org/sku"},
        {"name": "https://example.com/name"},
        {"cmp": "https://example.com/ns#"},
        {"schema": "https://example.com/"},
        {"@vocab": "https://example.com/"},
        {"id": "@id"},
        {"title": "schema:name"},
        {"brand": {"@id": "schema:brand", "@container": "@id"}},
        {"brand": {"@id": "schema:brand", "@container": ["@id", "@set"]}},
        {"brand": {"@id": "schema:brand", "@container": [{}]}},
        {"offers": {"@reverse": "schema:offers"}},
        {"price": None},
        ["https://schema.org", {"sku": "schema:name"}],
    ],
)
def test_a_context_that_remaps_terms_is_refused_rather_than_misread(context: Any):
    for document in ({"@context": context}, {"offers": [{"@context": context}]}):
        with pytest.raises(RejectedDocumentError) as caught:
            jsonld.canonical(document)
        assert caught.value.code == "context_remaps_terms"
    content = orjson.dumps({"@context": context, "@type": "ItemList", "itemListElement": []})
    with pytest.raises(InvalidDocumentError, match="context_remaps_terms"):
        items.read_shard(content, "The shard")
