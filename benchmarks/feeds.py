"""Made-up product feeds as files: a registry, an index, and shards of about 2 MB for 2,000 products."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

ORGANIZATION = "urn:cmp:org:1"
REGISTRY, INDEX = "registry.json", "feed/index.json"

_BRANDS, _ROOMS, _THINGS, _VARIANTS = 4, 20, 200, 10


def brand_id(number: int) -> str:
    """URN of a product's or group's brand."""
    return f"urn:cmp:brand:{number % _BRANDS}"


def write(folder: Path, products: int, shards: int, *, edition: int = 0, changed_every: int | None = None) -> int:
    """Write a feed, over one that is there; returns the bytes of its shards.

    Args:
        folder: the ingestor's root.
        products: in all, variants of a tenth as many groups.
        shards: as many products in each; a group stands before its first variant.
        edition: stated by every file, so that other editions of the same items are other bytes.
        changed_every: one in so many products has another name and price.
    """
    (folder / INDEX).parent.mkdir(parents=True, exist_ok=True)
    names = [f"feed-{number:03}.json" for number in range(shards)]
    stamp = {"lastUpdated": f"2026-01-01T00:00:{edition:02}Z"}
    _write(folder / REGISTRY, _registry())
    _write(folder / INDEX, stamp | {"@type": "ProductFeedIndex", "shards": names, "totalShards": shards})
    size, each = 0, products // shards
    for number, name in enumerate(names):
        elements = [
            {"@type": "ListItem", "item": item}
            for item in _items(range(number * each, (number + 1) * each), changed_every)
        ]
        size += _write(folder / INDEX.replace("index.json", name), stamp | _list(elements))
    return size


def _write(path: Path, document: dict[str, Any]) -> int:
    return path.write_bytes(orjson.dumps(document))


def _list(elements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@context": "https://schema.org", "@type": "ItemList", "itemListElement": elements}


def _registry() -> dict[str, Any]:
    return {
        "@type": "Organization",
        "name": "Acme",
        "identifier": _property("cmp:orgId", ORGANIZATION),
        "cmp:productFeed": {"@type": "DataFeed", "url": INDEX},
        "brand": [_brand(number) for number in range(_BRANDS)],
    }


def _items(numbers: range, changed_every: int | None) -> Iterator[dict[str, Any]]:
    for number in numbers:
        if number % _VARIANTS == 0:
            yield _group(number // _VARIANTS)
        yield _product(number, changed=changed_every is not None and number % changed_every == 0)


def _group(number: int) -> dict[str, Any]:
    return {
        "@type": "ProductGroup",
        "@id": f"urn:cmp:productgroup:{number}",
        "name": f"Group {number}",
        "description": "All of it",
        "url": f"https://shop.example/g/{number}",
        "brand": _brand(number),
        "category": "Home",
        "productGroupID": f"G{number}",
        "variesBy": ["color", "size"],
    }


def _product(number: int, *, changed: bool) -> dict[str, Any]:
    cents = number % 10_000 + 100 + changed
    return {
        "@type": "Product",
        "@id": f"urn:cmp:sku:{number:08d}-0000-4000-8000-{number:012d}",
        "sku": f"SKU-{number}",
        "name": f"Product number {number}{', new' if changed else ''}",
        "description": f"A very fine product, number {number}, " + "soft and warm " * 12,
        "url": f"https://shop.example/p/{number}",
        "image": [f"https://shop.example/p/{number}.jpg"],
        "brand": _brand(number // _VARIANTS),
        "category": f"Home > Room {number % _ROOMS} > Thing {number % _THINGS}",
        "isVariantOf": {"@type": "ProductGroup", "@id": f"urn:cmp:productgroup:{number // _VARIANTS}"},
        "additionalProperty": [
            {"@type": "PropertyValue", "name": "color", "value": "red"},
            {"@type": "PropertyValue", "name": "size", "value": str(number % 7)},
        ],
        "offers": {
            "@type": "Offer",
            "price": cents / 100,
            "priceCurrency": "USD",
            "availability": "https://schema.org/InStock",
            "inventoryLevel": {"@type": "QuantitativeValue", "value": number % 50},
        },
    }


def _brand(number: int) -> dict[str, Any]:
    return {
        "@type": "Brand",
        "name": f"Brand {number % _BRANDS}",
        "identifier": _property("cmp:brandId", brand_id(number)),
    }


def _property(name: str, value: str) -> dict[str, str]:
    return {"@type": "PropertyValue", "propertyID": name, "value": value}
