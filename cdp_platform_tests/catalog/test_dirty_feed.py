"""A feed as shops really publish them: most items break a rule, many several. Each is accounted for."""

import random
from collections import Counter
from typing import Any

import pytest

from cdp_platform.catalog.rounds import FeedRound
from cdp_platform_tests.catalog.conftest import ORGANIZATION, Shop, brand, organization, shard

_BRANDS = ["Northwind", "Contoso", "Fabrikam", "Nobody's"]


def dirty_items(seed: int) -> list[Any]:
    """40 groups and 60 products of four brands without identifiers, one of which the registry does not know."""
    chance = random.Random(seed)  # noqa: S311 (the same dirt every time)
    groups = [
        {
            "@type": "ProductGroup",
            "@id": f"urn:cmp:product:{number}",
            "name": chance.choice([f"Card {number}", f"Card {number}", ""]),
            "description": chance.choice(["<p>Give joy</p>", "", None]),
            "brand": {"@type": "Brand", "name": chance.choice(_BRANDS)},
            "category": chance.choice(["", "", "", "Gift Cards > Food", ["A", "B"], None]),
            "productGroupID": chance.choice(["gift-card", "egift", "", None, str(number)]),
            "variesBy": chance.choice([["denominations"], "title", None]),
        }
        for number in range(40)
    ]
    products = [
        {
            "@type": "Product",
            "@id": f"urn:cmp:sku:{chance.choice([number, number, number, 7])}",
            "sku": chance.choice(["", "GC-25", "GC-50", f"GC-{number}", number]),
            "name": f"Card {number}",
            "brand": chance.choice([{"name": chance.choice(_BRANDS)}, chance.choice(_BRANDS), None, {}]),
            "isVariantOf": {"@type": "ProductGroup", "@id": f"urn:cmp:productgroup:absent-{number}"},
            "additionalProperty": [{"@type": "PropertyValue", "name": "denominations", "value": number}],
            "offers": chance.choice(
                [
                    {"price": 9.95, "priceCurrency": "USD", "availability": "https://schema.org/InStock"},
                    [{"price": "2629.95", "priceCurrency": "USD", "availability": "http://schema.org/OutOfStock"}],
                    {"price": "abc", "priceCurrency": "USD"},
                    {"price": -1},
                    None,
                ]
            ),
        }
        for number in range(60)
    ]
    items = [*groups, *products, None, 5, {"@type": "Event"}, []]
    chance.shuffle(items)
    return items


@pytest.mark.parametrize("seed", range(5))
def test_every_item_of_a_dirty_feed_ends_as_stored_or_as_rejected_with_a_code(shop: Shop, seed: int):
    known = [brand(f"urn:cmp:brand:{name}", name) for name in _BRANDS[:3]]
    shop.write("registry.json", organization(brand=known))
    items = dirty_items(seed)
    shop.write_feed(shard(*items[:50]), shard(*items[50:]))
    found = shop.take()
    assert_sums(found, len(items))
    accounted = Counter(
        (0 if " shard 1 " in key else 50) + int(key.split("[")[1].split("]")[0])
        for (key,) in shop.rows("SELECT document_key FROM ops.rejected_record WHERE resolved_at IS NULL")
    )
    stored = shop.rows("SELECT document FROM catalog.product UNION ALL SELECT document FROM catalog.product_group")
    for (document,) in stored:
        (number,) = [at for at, item in enumerate(items) if item == document and at not in accounted]
        accounted[number] += 1
    assert accounted == Counter(range(len(items)))
    assert len(found.rejected_by_code) >= 6
    assert found.new == len(stored) >= 5
    codes = Counter(code for code, _ in shop.rejected())
    assert codes == found.rejected_by_code
    # The same feed in another order of files is accounted for as well, and nothing is lost on the way.
    shop.write_feed(shard(*items[50:]), shard(*items[:50]))
    assert_sums(shop.take(), len(items))


def assert_sums(found: FeedRound, items: int) -> None:
    assert found.outcome == "landed"
    assert found.items == found.new + found.changed + found.unchanged + found.rejected == items
    assert sum(found.rejected_by_code.values()) == found.rejected
    assert found.organization_id == ORGANIZATION
