"""The plain values of items: numbers, GTINs, texts and traits, whatever is beside them and however they are written."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp_platform.catalog import gtins, items, jsonld
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.items import Entry
from cdp_platform.catalog.organizations import read_registry
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform_tests.catalog.conftest import BRAND, brand, group, offer, organization, product, shard

BRANDS = Brands({BRAND: "Northwind"})


def understood(**more: Any) -> items.Product:
    return items.to_product(Entry("$", product(1, **more)), BRANDS)


# Numbers, and who is beside them --------------------------------------------------------------------------------------

NEIGHBOURS = {
    "none": lambda content: content,
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "half a surrogate pair": lambda content: beside(content, b'"\\ud800"'),
    "a price of many digits": lambda content: beside(content, b"19.990000000000000001"),
    "a number beyond all": lambda content: beside(content, b"1e999999"),
    "a number of 5,000 digits": lambda content: beside(content, b"7" * 5000),
    "values nested deep": lambda content: beside(content, b"[" * 3000 + b"]" * 3000),
    "a long form": lambda content: beside(content, b'{"@value": "x"}'),
    "an escape": lambda content: beside(content, b'"\\u0041"'),
}


def beside(content: bytes, literal: bytes) -> bytes:
    neighbour = b'{"item": {"@type": "Product", "extra": ' + literal + b"}}"
    return content.replace(b'"itemListElement":[', b'"itemListElement":[' + neighbour + b",")


def outcome(entry: Entry) -> Any:
    try:
        content = jsonld.canonical(entry.document)
        return content, items.to_product(entry, BRANDS)
    except RejectedDocumentError as error:
        return error.code, error.path.replace("[1]", "[0]")


def alone(content: bytes) -> Any:
    (entry,) = items.read_shard(content, "it")
    return outcome(entry)


LITERALS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**6), 10**6, places=3).map(str),
    st.sampled_from(["4006381333931.0", "4006381333931", "1E3", "-0", "0.10", "9223372036854775808", "1e22", "true"]),
    st.sampled_from(['"a"', "[1, 2.50]", "[]", '{"@value": 1.0}', '{"value": 12.0, "unitCode": "KGM"}', "[[[1.0]]]"]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["sku", "gtin13", "name", "category", "mpn", "color", "weight", "other", "schema:size"]),
        LITERALS,
        min_size=1,
    ),
    LITERALS,
)
def test_an_item_has_the_same_verdict_and_text_whatever_is_beside_it(values: dict[str, str], price: str):
    item = product(1, offers=offer("PRICE"), **dict.fromkeys(values, "VALUE"))
    content = orjson.dumps({"@type": "ItemList", "itemListElement": [{"item": item}]}).replace(
        b'"PRICE"', price.encode()
    )
    for name, literal in values.items():
        content = content.replace(f'"{name}":"VALUE"'.encode(), f'"{name}":{literal}'.encode())
    expected = alone(content)
    for name, changed in NEIGHBOURS.items():
        *_, entry = items.read_shard(changed(content), "it")
        found = outcome(entry)
        if isinstance(expected[1], items.Product):
            assert found == expected, name
        else:
            assert (found[0], found[1].replace("[1]", "[0]")) == expected, name


@pytest.mark.parametrize("depth", [100, 150, 210, 249, 260, 400])
@pytest.mark.parametrize("deeper", [300, 1_100, 10_000])
def test_how_deep_an_item_may_be_does_not_depend_on_another(depth: int, deeper: int):
    content = shard(product(1, extra="DEEP"), product(2, extra="DEEPER"))
    content = content.replace(b'"DEEP"', b"[" * depth + b"]" * depth)
    verdicts = []
    for literal in (b"1", b"[" * deeper + b"]" * deeper):
        first, _ = items.read_shard(content.replace(b'"DEEPER"', literal), "it")
        verdicts.append(outcome(first)[0])
    assert verdicts[0] == verdicts[1]
    assert (verdicts[0] == "nested_too_deep") == (depth > 254)


@pytest.mark.parametrize(
    ("stated", "plain"), [(12345, "12345"), (12345.0, "12345"), (1e3, "1000"), (1.50, "1.5"), (2**70, str(2**70))]
)
def test_numbers_are_taken_as_texts_by_their_plain_digits(stated: float, plain: str):
    found = understood(sku=stated, name=stated, mpn=stated, category=stated, size=stated)
    assert [found.sku, found.name, found.mpn, found.categories[0], found.attributes["size"]] == [plain] * 5


# GTINs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "gtin"),
    [
        ({"gtin13": "4006381333931"}, "4006381333931"),
        ({"gtin13": 4006381333931}, "4006381333931"),
        ({"gtin13": 4006381333931.0}, "4006381333931"),
        ({"gtin": " 4006381-333931 "}, "4006381333931"),
        ({"gtin8": "96385074"}, "96385074"),
        ({"gtin12": "036000291452"}, "036000291452"),
        ({"gtin14": "10614141000415"}, "10614141000415"),
        ({"gtin": "https://id.gs1.org/01/09506000134376/10/ABC"}, "09506000134376"),
        ({"gtin": "", "gtin13": ["4006381333931"]}, "4006381333931"),
    ],
)
def test_a_gtin_is_taken_as_its_digits(more: dict[str, Any], gtin: str):
    found = understood(**more)
    assert (found.gtin, found.remarks) == (gtin, [])


@pytest.mark.parametrize(
    "stated",
    [
        *("not a gtin", "1.23457E+12", "0", 0, "4006381333932", "4006381333930", "400638133393", "40063813339310"),
        *(
            "00000000",
            "0000000000000",
            True,
            {"value": "4006381333931"},
            "".join(chr(0xFF10 + int(digit)) for digit in "4006381333931"),
            -4006381333931,
            1.5,
        ),
    ],
)
def test_what_is_no_gtin_is_never_stored_as_one_and_told(stated: Any):
    found = understood(gtin13=stated)
    assert (found.gtin, found.remarks) == (None, ["gtin_not_valid"])
    beside_a_good_one = understood(gtin=stated, gtin13="4006381333931")
    assert (beside_a_good_one.gtin, beside_a_good_one.remarks) == ("4006381333931", ["gtin_not_valid"])


@given(st.integers(1, 10**13 - 1))
def test_a_gtin_with_one_wrong_digit_is_none(number: int):
    body = f"{number:012}"[:12]
    (check,) = [digit for digit in "0123456789" if gtins.is_gtin(body + digit)]
    whole = body + check
    for at in range(13):
        assert not gtins.is_gtin(f"{whole[:at]}{(int(whole[at]) + 3) % 10}{whole[at + 1 :]}")


# Texts ----------------------------------------------------------------------------------------------------------------


def test_texts_that_people_read_have_no_html_entities_and_addresses_keep_theirs():
    found = understood(
        name="Tom &amp; Jerry&#39;s &quot;Mug&quot;",
        description="a &lt; b",
        url="https://acme.example/?a=1&copy=2",
        sku="A&amp;B",
        additionalProperty=[{"name": "Fit &amp; form", "value": "S &amp; M"}],
    )
    assert (found.name, found.description) == ('Tom & Jerry\'s "Mug"', "a < b")
    assert (found.url, found.sku) == ("https://acme.example/?a=1&copy=2", "A&amp;B")
    assert found.attributes == {"Fit & form": "S & M"}


def test_letters_that_are_composed_differently_are_one_category_and_one_brand():
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert understood(category=[composed, decomposed]).categories == [composed]
    assert Brands({BRAND: composed}).of({"brand": decomposed}, "$") == (BRAND, composed)


def test_invisible_characters_around_a_key_are_not_part_of_it():
    assert understood(sku="\ufeffSKU\u200b-1\u200b ").sku == "SKU\u200b-1"
    assert understood(name="👩\u200d👩\u200d👧").name == "👩\u200d👩\u200d👧"


def test_a_registry_has_the_same_names_as_its_feeds():
    written = organization(name="Tom &amp; Co", brand=brand(name="Ben &amp; Jerry&#39;s"))
    (found,) = read_registry(orjson.dumps(written), "it").organizations
    assert (found.name, found.brands[0].name) == ("Tom & Co", "Ben & Jerry's")
    brands = Brands({BRAND: found.brands[0].name})
    for name in ("Ben & Jerry's", "Ben &amp; Jerry&#039;s", "BEN&nbsp;& JERRY&apos;S"):
        assert brands.of({"brand": name}, "$") == (BRAND, "Ben & Jerry's")


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ({"@value": "Mug"}, "Mug"),
        ({"@value": "Mug", "@language": "en"}, "Mug"),
        ([{"@value": "Mug", "@language": "en"}, {"@value": "Cốc", "@language": "vi"}], "Mug"),
        ([{"@value": "Cốc", "@language": "vi"}, "Mug"], "Mug"),
        ({"@list": ["Mug"]}, "Mug"),
        ({"@set": [{"@value": "Mug"}]}, "Mug"),
        (["Mug"], "Mug"),
    ],
)
def test_a_text_may_have_json_lds_long_forms(stated: Any, name: str):
    (entry,) = items.read_shard(shard(product(1, name=stated)), "it")
    assert items.to_product(entry, BRANDS).name == name


@pytest.mark.parametrize(
    "prefix",
    ["schema:", "http://schema.org/", "https://schema.org/", "https://www.schema.org/", r"https:\/\/schema.org\/"],
)
def test_terms_with_a_prefix_are_the_terms(prefix: str):
    def long(value: Any) -> Any:
        if isinstance(value, list):
            return {"@list": list(map(long, value))}
        if isinstance(value, dict):
            return {
                name if name[0] == "@" or ":" in name else prefix + name: long(item) for name, item in value.items()
            }
        return {"@value": value} if isinstance(value, int | float) else value

    plain = group(1, hasVariant=[product(2, offers=[offer("85.00", gtin13="4006381333931"), offer(90)])])
    content = orjson.dumps({"@type": "schema:ItemList", "itemListElement": [plain]})
    written = orjson.dumps({"@type": "schema:ItemList", "schema:itemListElement": [long(plain)]})
    written = written.replace(prefix.encode().replace(b"\\", b"\\\\"), prefix.encode())
    found = [(each.path, each.document) for each in items.read_shard(written, "it")]
    assert found == [(each.path, each.document) for each in items.read_shard(content, "it")]
    assert len(found) == 2


def test_a_term_that_is_written_both_ways_has_both_values():
    (entry,) = items.read_shard(
        shard(product(1, category="A", **{"schema:category": "B", "schema:sku": "SKU-1"})), "it"
    )
    found = items.to_product(entry, BRANDS)
    assert (found.categories, found.sku) == (["A", "B"], "SKU-1")


def test_what_a_variant_is_like_is_among_its_attributes():
    found = understood(
        color="Red",
        size={"@type": "SizeSpecification", "name": "XL"},
        material=["wool", "silk"],
        pattern="",
        weight={"@type": "QuantitativeValue", "value": 1.50, "unitCode": "KGM"},
        additionalProperty=[
            {"name": "Color", "value": "Red"},
            {"name": "Size", "value": "46"},
            {"name": "Voltage", "value": 230.0},
        ],
    )
    assert found.attributes == {
        "color": "Red",
        "size": "XL, 46",
        "material": "wool, silk",
        "weight": "1.5 KGM",
        "Voltage": "230",
    }
