"""Items in their plain form become the rows that the reader of any item makes of them, or are left to it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from cdp_platform.catalog import items, jsonld, plain_form, plain_items, shards
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.plain_items import PlainEntry
from cdp_platform.catalog.staged_rows import Rows
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform_tests.catalog.conftest import BRAND, brand, offer, shard
from cdp_sandbox.feeds import documents
from cdp_sandbox.feeds.shops import ORGANIZATIONS

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BRANDS = Brands({BRAND: "Northwind", "urn:cmp:brand:2": "Käse & Co"})

# Items with every term of the protocol's own example, and those that shops write beside them.
_MEDIA = [
    {
        "@type": "ImageObject",
        "url": "https://example.com/main.jpg",
        "caption": "Front view",
        "name": "Main",
        "width": 1200,
        "height": 800,
        "encodingFormat": "image/jpeg",
    },
    {
        "@type": "VideoObject",
        "url": "https://example.com/demo.mp4",
        "description": "Demonstration",
        "thumbnailUrl": "https://example.com/thumb.jpg",
        "duration": "PT2M45S",
        "uploadDate": "2025-06-01",
    },
]
PRODUCT: dict[str, Any] = {
    "@context": "https://schema.org",
    "@type": "Product",
    "@id": "urn:cmp:sku:WH-1000XM5-BLACK",
    "name": "Headphones &amp; case",
    "sku": "WH-1000XM5-BLACK",
    "description": "Up to 30-hour battery life.",
    "url": "https://example.com/p/1",
    "image": ["https://example.com/1.jpg", " ", "https://example.com/2.jpg"],
    "brand": brand(logo="https://example.com/logo.png"),
    "category": ["Electronics > Audio > Headphones", "Electronics > Audio"],
    "gtin13": "4006381333931",
    "mpn": "XM5",
    "color": "Black",
    "weight": "250 g",
    "itemCondition": "https://schema.org/NewCondition",
    "offers": {
        "@type": "Offer",
        "price": 399.99,
        "priceCurrency": "USD",
        "availability": "https://schema.org/InStock",
        "inventoryLevel": {"@type": "QuantitativeValue", "value": 25},
        "priceValidUntil": "2026-12-31T23:59:59Z",
        "priceSpecification": {"@type": "PriceSpecification", "price": 399.99, "priceCurrency": "USD"},
        "seller": {"@type": "Organization", "identifier": {"propertyID": "cmp:orgId", "value": "urn:cmp:org:9"}},
        "url": "https://example.com/o/1",
    },
    "additionalProperty": [
        {"@type": "PropertyValue", "name": "Color", "value": "Jet black"},
        {"@type": "PropertyValue", "propertyID": "battery", "value": "30 hours"},
        {"@type": "PropertyValue", "name": "battery", "value": "30 hours"},
        {"@type": "PropertyValue", "name": "empty"},
    ],
    "isVariantOf": {"@type": "ProductGroup", "@id": "urn:cmp:product:WH-1000XM5", "name": "Headphones"},
    "@cmp:media": _MEDIA,
}
GROUP: dict[str, Any] = {
    "@type": "ProductGroup",
    "@id": "urn:cmp:product:WH-1000XM5",
    "name": "Headphones",
    "description": "All colors",
    "url": "https://example.com/g/1",
    "image": "https://example.com/g/1.jpg",
    "brand": {"@type": "Brand", "name": "northwind"},
    "category": "Electronics > Audio > Headphones",
    "productGroupID": "WH-1000XM5",
    "variesBy": ["Color", "Storage"],
    "cmp:media": _MEDIA,
}
SIMPLE = PRODUCT | {"offers": [offer(19.5), offer("20.00"), offer(21)]}

ITEMS = {"product": PRODUCT, "offers": SIMPLE, "group": GROUP}

# Values as they can stand in a file: the second half breaks what one would take for granted.
_LITERALS = st.one_of(
    st.sampled_from(
        [
            *(
                '"a"',
                '""',
                '" "',
                '"&amp;&lt;b"',
                '"\\u00e9"',
                '"e\\u0301"',
                '"\\ud83d\\ude00"',
                '"A > B"',
                '"\\/"',
                '"USD"',
            ),
            *(
                '"19.90"',
                '"0"',
                '"-1"',
                '"1e3"',
                '"urn:cmp:brand:2"',
                '"K\\u00e4se & Co"',
                '"https://schema.org/InStock"',
            ),
            *("0", "-0", "1", "19.90", "19.99", "399.00", "1e2", "0.00001", "1E400", "1e-400", "-0.0", "0.1e1", "5.0"),
            *(
                "123456789012345678",
                "1234567890123456789",
                "1" * 30,
                "1234567.8901234567",
                "9007199254740993.0",
                "1e22",
            ),
            *("true", "false", "null", "[]", "{}", "[null]", '["a", "B > C"]', '[{"@value": "a"}]', '{"@value": "a"}'),
            *('"\\u0000"', '"\\\\u0000"', '"\\ud800"', '"\\u200b"', '"\\u2028"', '"x\\u001fy"', f'"{"x" * 500}"'),
            *(
                '{"@list": ["a"]}',
                '{"name": "Northwind"}',
                '{"@id": "urn:cmp:brand:2"}',
                '{"value": 5}',
                '{"value": 5.0}',
            ),
            *('{"@id": "urn:cmp:productgroup:7"}', '[{"price": 1, "priceCurrency": "EUR"}]', "[" * 300 + "]" * 300),
            *("NaN", "01", "+1", "'a'", '"\n"', '"\\x"'),
        ]
    ),
    st.text(max_size=8).map(lambda text: orjson.dumps(text).decode()),
    st.decimals(-(10**6), 10**6, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every object within a value with each of its terms, and one that the plain form does not know."""
    if isinstance(value, dict):
        yield path, "extra"
        for term, stated in value.items():
            yield path, term
            yield from _places(stated, (*path, term))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _places(each, (*path, at))


_CHANGES = {
    name: st.lists(st.tuples(st.sampled_from(list(_places(item))), _LITERALS), max_size=3)
    for name, item in ITEMS.items()
}


_LIST_PRICE, _LISTED = (("offers", "priceSpecification"), "price"), (("offers", "priceSpecification"), "priceType")
_Changes = list[tuple[tuple[tuple[Any, ...], str], str]]


def written(item: dict[str, Any], changes: _Changes, *, twice: bool) -> bytes:
    """The shard of an item in which terms at some places have other literals; ``twice`` states these a second time."""
    item = orjson.loads(orjson.dumps(item))
    literals = {}
    for at, ((place, term), literal) in enumerate(changes):
        target: Any = item
        for step in place:
            # An earlier change may have put a literal here.
            target = target if isinstance(target, str) else target[step]
        if isinstance(target, dict):
            target[term] = f"literal {at}"
            name = orjson.dumps(term).decode()
            literals[f'{name}:"literal {at}"'] = f"{name}:{literal}"
    content = shard(item).decode()
    for marked, stated in literals.items():
        content = content.replace(marked, f"{stated},{stated}" if twice else stated)
    return content.encode()


def rows(entries: Iterator[Entry | PlainEntry]) -> list[Any]:
    """What is staged of the items, with every digit."""
    found: list[Any] = []
    made = Rows(BRANDS, NOW)
    for number, entry in enumerate(entries, start=1):
        known = None
        try:
            known = made.known(entry, number)
            if known.is_group:
                staged: Any = made.group(known)
            else:
                row, offers = made.product(known)
                staged = (row, list(offers))
            found.append((made.taken(known, 1, held=False, changed=True), staged))
        except RejectedDocumentError as error:
            found.append(made.rejected(entry, number, 1, error, known))
    return [repr(each) for each in found]


def outcome(read: Any, content: bytes) -> Any:
    try:
        return rows(read(content, "it"))
    except InvalidDocumentError as error:
        return str(error)


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(list(ITEMS)).flatmap(lambda name: st.tuples(st.just(name), _CHANGES[name])), st.booleans())
@example(("product", [((("offers",), "price"), "19.90")]), False)
@example(("product", [(_LISTED, '"ListPrice"'), (_LIST_PRICE, "1e22")]), False)
@example(("product", [(_LISTED, '"ListPrice"'), (_LIST_PRICE, "1" + "0" * 20)]), False)
@example(("offers", [((("offers", 0), "price"), "1234567.89012345678")]), False)
@example(("offers", [((("offers", 0), "price"), "1e-400")]), False)
@example(("product", [(((), "name"), '"\\u0000"')]), False)
@example(("product", [(((), "sku"), '"\\ud800"')]), False)
@example(("product", [(((), "brand"), '"Nobody\'s"')]), False)
@example(("product", [(((), "extra"), "[" * 300 + "]" * 300)]), False)
@example(("product", [(((), "schema:name"), '"Other"')]), False)
@example(("group", [(((), "hasVariant"), '[{"@type": "Product", "@id": "a:1", "sku": "S", "name": "N"}]')]), False)
def test_every_column_is_as_the_reader_of_any_item_has_it(changed: tuple[str, _Changes], twice: bool):
    name, changes = changed
    content = written(ITEMS[name], changes, twice=twice)
    assert outcome(shards.read_shard, content) == outcome(items.read_shard, content)


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_the_plain_form_has_every_term_of_the_protocols_example(item: dict[str, Any]):
    (entry,) = shards.read_shard(shard(item), "it")
    assert isinstance(entry, PlainEntry)
    assert entry.content == jsonld.canonical(item)
    reader = plain_items.Reader(BRANDS, NOW)
    if entry.is_group:
        assert reader.group(entry) == items.to_group(Entry(entry.path, item), BRANDS)
    else:
        assert reader.product(entry) == items.to_product(Entry(entry.path, entry.whole().document), BRANDS, NOW)


@pytest.mark.parametrize("organization", ORGANIZATIONS, ids=lambda each: each.id)
def test_the_feeds_of_the_sandbox_are_read_alike(organization: Any):
    plain = 0
    for path, content in documents.feeds(3).items():
        if path.startswith(f"{organization.id}/") and path != documents.index_path(organization):
            assert outcome(shards.read_shard, content) == outcome(items.read_shard, content)
            plain += sum(isinstance(entry, PlainEntry) for entry in shards.read_shard(content, "it"))
    assert plain > 1000


def test_names_of_terms_are_in_the_order_of_canonical_bytes():
    structs = [each for each in vars(plain_form).values() if isinstance(each, type) and issubclass(each, Struct)]
    assert len(structs) > 5
    for each in structs:
        names = each.__struct_encode_fields__
        assert list(names) == sorted(names), each


@pytest.mark.parametrize(
    "change",
    [
        (rb"^", b"\xef\xbb\xbf"),
        (rb'"ItemList"', b'"schema:ItemList"'),
        (rb'"ItemList"', b'["ItemList"]'),
        (rb'"ItemList"', b'"Other"'),
        (rb'"position":1', b'"position":"\xff"'),
        (rb'"position":1', b'"schema:item":5'),
        (rb'"itemListElement"', b'"schema:itemListElement"'),
        (rb'"@context":"https://schema.org"', b'"@context":{"name":"https://schema.org/price"}'),
        (rb"\]\}$", b"]"),
        (rb'"sku":', b'"sku" '),
    ],
)
def test_a_shard_in_another_form_is_read_as_before(change: tuple[bytes, bytes]):
    content = re.sub(*change, shard(PRODUCT, GROUP), count=1)
    assert outcome(shards.read_shard, content) == outcome(items.read_shard, content)
