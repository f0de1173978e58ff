"""Brands that variants have from their groups: nested or not, before or behind, in whichever shard."""

from itertools import permutations
from typing import Any

import pytest

from cdp_platform_tests.catalog.conftest import BRAND, Shop, brand, group, organization, product, shard

OTHER = "urn:cmp:brand:22222222-0000-0000-0000-000000000002"
GROUP = {"@type": "ProductGroup", "@id": "urn:cmp:productgroup:1"}


def bare(number: int, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in product(number, **more).items() if name != "brand"}


def brands(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.rows(
        "SELECT product_id, group_id, brand_id, brand_name FROM catalog.product WHERE removed_at IS NULL ORDER BY 1"
    )


@pytest.fixture
def two(shop: Shop) -> Shop:
    shop.write("registry.json", organization(brand=[brand(), brand(OTHER, "Contoso")]))
    return shop


def test_the_nested_and_the_flat_form_of_the_same_data_give_the_same_rows(two: Shop):
    variants = [bare(1), bare(2, brand={"@type": "Brand", "name": ""}), product(3, brand="Contoso")]
    flat = [{**each, "isVariantOf": GROUP} for each in variants]
    two.write_feed(shard(group(1, hasVariant=variants)))
    assert two.take().rejected == 0
    nested = brands(two)
    assert [row[1:] for row in nested] == [(GROUP["@id"], BRAND, "Northwind")] * 2 + [(GROUP["@id"], OTHER, "Contoso")]
    for items in permutations([group(1), *flat]):
        two.write_feed(shard(*items[:2]), shard(*items[2:]))
        assert two.take().rejected == 0
        assert brands(two) == nested


def test_a_group_named_by_the_other_family_gives_its_brand_as_well(shop: Shop):
    shop.write_feed(shard(bare(1, isVariantOf="urn:cmp:product:1")), shard(group(1)))
    assert shop.take().rejected == 0


def test_a_group_that_stands_in_the_variant_itself_gives_its_brand(two: Shop):
    inline = {**GROUP, "name": "Group", "brand": {"@type": "Brand", "name": "Contoso"}}
    two.write_feed(shard(bare(1, isVariantOf=inline)))
    assert two.take().rejected == 0
    assert brands(two)[0][2:] == (OTHER, "Contoso")


@pytest.mark.parametrize("nested", [True, False])
def test_a_group_that_is_rejected_for_another_reason_still_gives_its_brand(shop: Shop, nested: bool):
    broken = group(1, name=None)
    items = [{**broken, "hasVariant": [bare(1)]}] if nested else [broken, bare(1, isVariantOf=GROUP)]
    shop.write_feed(shard(*items))
    assert shop.take().rejected_by_code == {"name_missing": 1}
    assert shop.products() == ["urn:cmp:sku:1"]


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        (None, "brand_missing"),
        (["Northwind", "Contoso"], "several_brands"),
        ("Fabrikam", "brand_unknown"),
        ({"@id": "urn:cmp:brand:else"}, "brand_not_owned"),
    ],
)
@pytest.mark.parametrize("nested", [True, False])
def test_a_variant_is_rejected_with_its_groups_reason(two: Shop, stated: Any, code: str, nested: bool):
    whole = group(1, brand=stated)
    items = [{**whole, "hasVariant": [bare(1)]}] if nested else [bare(1, isVariantOf=GROUP), whole]
    two.write_feed(shard(*items), shard(product(2)))
    assert two.take().rejected_by_code == {code: 2}
    assert all(path.endswith(".brand") for _, path in two.rejected())
    assert two.products() == ["urn:cmp:sku:2"]
    assert len(two.rows("SELECT 1 FROM ops.rejected_record WHERE document ->> 'sku' = 'SKU-1'")) == 1


def test_of_two_groups_of_one_id_the_one_that_lands_gives_its_brand(two: Shop):
    broken = group(1, name=None, brand="Contoso")
    two.write_feed(shard(broken, bare(1, isVariantOf=GROUP), group(1, brand=["A", "B"]), group(1)))
    assert two.take().rejected_by_code == {"name_missing": 1, "several_brands": 1}
    assert [row[2] for row in brands(two)] == [BRAND]


def test_a_variant_without_a_brand_whose_group_is_nowhere_is_rejected(shop: Shop):
    shop.write_feed(shard(bare(1, isVariantOf=GROUP), bare(3), product(2)))
    assert shop.take().rejected_by_code == {"brand_missing": 2}
    assert shop.products() == ["urn:cmp:sku:2"]
    # Both may come later.
    shop.write_feed(shard(bare(1, isVariantOf=GROUP), product(3), product(2)), shard(group(1)))
    assert shop.take().rejected == 0
    assert len(shop.products()) == 3


def test_an_unchanged_variant_follows_the_brand_of_its_group(two: Shop):
    variant, own = bare(1, isVariantOf=GROUP), product(2, isVariantOf=GROUP)
    two.write_feed(shard(variant, own), shard(group(1)))
    two.take()
    two.write_feed(shard(variant, own), shard(group(1, brand="Contoso")))
    found = two.take()
    assert (found.changed, found.unchanged) == (1, 2)
    assert [row[2] for row in brands(two)] == [OTHER, BRAND]
    # Without a group it has no brand any more; the last good version stays.
    two.write_feed(shard(variant, own))
    found = two.take()
    assert (found.rejected_by_code, found.gone) == ({"brand_missing": 1}, 1)
    assert [row[2] for row in brands(two)] == [OTHER, BRAND]
    assert two.rows("SELECT document ->> 'sku' FROM ops.rejected_record WHERE resolved_at IS NULL") == [("SKU-1",)]


def test_a_brand_that_leaves_the_registry_takes_the_variants_that_had_it_from_their_group(two: Shop):
    two.write_feed(shard(bare(1, isVariantOf=GROUP), group(1, brand="Contoso"), product(2)))
    two.take()
    two.write("registry.json", organization())
    found = two.take()
    assert (found.rejected_by_code, two.products()) == ({"brand_unknown": 2}, ["urn:cmp:sku:2"])
