"""The documents that the shops publish: one registry, and for each shop an index and its shards.

The two shops write in the two shapes that are met in the world: one as the protocol has it now (an index that names the
organization, shards by name, offers as lists), one as its first version had it (``orgid``, shards as objects, prices as
texts, URNs of the older family).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cdp_sandbox.feeds.shops import ORGANIZATIONS, Brand, Group, Organization, Product, groups

_SHARDS = 3
_FIRST = datetime(2026, 1, 5, 6, tzinfo=UTC)
_CONTEXT = {"schema": "https://schema.org", "cmp": "https://schema.commercemesh.ai/ns#"}
_FEED_CONTEXT = "https://schema.commercemesh.org/v0.1"


def published_at(generation: int) -> datetime:
    """Return when a generation was published: an hour after the one before."""
    return _FIRST + timedelta(hours=generation)


def registry(base_url: str) -> bytes:
    """Return the registry. Feeds are named by their whole addresses below the base address."""
    return orjson.dumps([_organization(one, base_url) for one in ORGANIZATIONS], option=orjson.OPT_INDENT_2)


def feeds(generation: int) -> dict[str, bytes]:
    """Return every index and shard of a generation by its path below the base address."""
    documents = {}
    for organization in ORGANIZATIONS:
        shards: list[list[dict[str, Any]]] = [[] for _ in range(_SHARDS)]
        for group in groups(organization, generation):
            for key, item in _items(organization, group):
                shards[int.from_bytes(hashlib.sha1(key.encode(), usedforsecurity=False).digest()[:4]) % _SHARDS].append(
                    item
                )
        documents[index_path(organization)] = orjson.dumps(_index(organization, generation))
        for number, items in enumerate(shards):
            documents[f"{organization.id}/{_shard(number)}"] = orjson.dumps(_item_list(items))
    return documents


def index_path(organization: Organization) -> str:
    """Return the path of an organization's index below the base address."""
    return f"{organization.id}/feed-index.json"


def counts(generation: int) -> dict[str, dict[str, int]]:
    """Return how many groups and products each organization publishes in a generation."""
    found = {}
    for organization in ORGANIZATIONS:
        all_groups = list(groups(organization, generation))
        found[organization.id] = {
            "groups": sum(bool(group.varies_by) for group in all_groups),
            "products": sum(len(group.products) for group in all_groups),
        }
    return found


def _organization(organization: Organization, base_url: str) -> dict[str, Any]:
    brands = [_brand(organization, brand) for brand in organization.brands]
    return {
        "@context": _CONTEXT,
        "@type": "Organization",
        "name": organization.name,
        "description": organization.description,
        "url": f"https://{organization.domain}",
        "logo": f"https://{organization.domain}/logo.png",
        "sameAs": [f"https://social.example.com/{organization.id}"],
        "brand": brands,
        "cmp:category": [organization.category],
        "cmp:productFeed": {"@type": "DataFeed", "url": f"{base_url}{index_path(organization)}"},
        # The trailing blanks are in the protocol's own registry.
        "identifier": _identifier(
            "cmp:orgId" if organization.older else "cmp:orgId  ", _organization_urn(organization)
        ),
    }


def _brand(organization: Organization, brand: Brand) -> dict[str, Any]:
    return {
        "@type": "Brand",
        "name": brand.name,
        "logo": f"https://{organization.domain}/{_slug(brand)}.png",
        "identifier": _identifier("cmp:brandId", _brand_urn(organization, brand)),
    }


def _identifier(kind: str, value: str) -> dict[str, str]:
    return {"@type": "PropertyValue", "propertyID": kind, "value": value}


def _index(organization: Organization, generation: int) -> dict[str, Any]:
    updated = published_at(generation).isoformat().replace("+00:00", "Z")
    index: dict[str, Any] = {
        "@context": _FEED_CONTEXT,
        "@type": "ProductFeedIndex",
        "version": "0.1",
        "lastUpdated": updated,
        "totalShards": _SHARDS,
    }
    if organization.older:
        index["orgid"] = _organization_urn(organization)
        index["shards"] = [{"url": _shard(number), "lastUpdated": updated} for number in range(_SHARDS)]
    else:
        index["organization"] = {"urn": _organization_urn(organization), "name": organization.name}
        index["shards"] = [_shard(number) for number in range(_SHARDS)]
    return index


def _item_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    elements = [{"@type": "ListItem", "position": number, "item": item} for number, item in enumerate(items, start=1)]
    return {"@context": _FEED_CONTEXT, "@type": "ItemList", "itemListElement": elements}


def _items(organization: Organization, group: Group) -> list[tuple[str, dict[str, Any]]]:
    """A group and its products, each with the key that decides on its shard."""
    products = [(one.sku, _product(organization, group, one)) for one in group.products]
    if not group.varies_by:
        return products
    item: dict[str, Any] = {
        "@type": "ProductGroup",
        "@id": _group_urn(organization, group),
        "name": group.name,
        "description": group.description,
        "url": f"https://{organization.domain}/g/{group.id}",
        "brand": _brand_reference(organization, group.brand),
        "category": group.kind.category,
        "productGroupID": group.id,
        "variesBy": list(group.varies_by),
        "@cmp:media": [{"@type": "ImageObject", "url": f"https://{organization.domain}/g/{group.id}.jpg"}],
    }
    if group.brand.nested:
        return [(group.id, item | {"hasVariant": [product for _, product in products]})]
    return [(group.id, item), *products]


def _product(organization: Organization, group: Group, product: Product) -> dict[str, Any]:
    item: dict[str, Any] = {
        "@type": "Product",
        "@id": organization.urn("sku", product.sku),
        "sku": product.sku,
        "name": product.name,
        "url": f"https://{organization.domain}/p/{product.sku}",
        "image": f"https://{organization.domain}/p/{product.sku}.jpg",
        "brand": _brand_reference(organization, group.brand),
        "additionalProperty": [
            {"@type": "PropertyValue", "name": name, "value": value} for name, value in product.variant.items()
        ],
        "offers": _offers(organization, product),
    }
    if group.varies_by:
        item["isVariantOf"] = {"@type": "ProductGroup", "@id": _group_urn(organization, group)}
    else:
        item |= {"description": group.description, "category": group.kind.category}
    return item


def _offers(organization: Organization, product: Product) -> Any:
    availability = "InStock" if product.in_stock else "OutOfStock"
    offer = {"@type": "Offer", "priceCurrency": organization.currency}
    stock = {"@type": "QuantitativeValue", "value": 25 if product.in_stock else 0}
    if organization.older:
        return offer | {
            "price": f"{product.price:.2f}",
            "availability": f"http://schema.org/{availability}",
            "inventoryLevel": stock,
        }
    return [offer | {"price": int(product.price), "availability": f"https://schema.org/{availability}"}]


def _brand_reference(organization: Organization, brand: Brand) -> dict[str, Any]:
    return {"@type": "Brand", "@id": _brand_urn(organization, brand), "name": brand.name}


def _organization_urn(organization: Organization) -> str:
    return organization.urn("orgid" if organization.older else "org")


def _brand_urn(organization: Organization, brand: Brand) -> str:
    return organization.urn("brandid" if organization.older else "brand", brand.name)


def _group_urn(organization: Organization, group: Group) -> str:
    return organization.urn("product" if organization.older else "productgroup", group.id)


def _slug(brand: Brand) -> str:
    return hashlib.sha1(brand.name.encode(), usedforsecurity=False).hexdigest()[:12]


def _shard(number: int) -> str:
    return f"feed-{number:03}.json"
