"""The items of a shard: product groups and products.

Every item becomes a group or a product, or is rejected with a code and the JSON path of its fault. Codes are stable,
because reports count them.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cdp_platform.catalog import brands as brand_names
from cdp_platform.catalog import gtins, jsonld
from cdp_platform.catalog.brands import Brands
from cdp_platform.catalog.errors import InvalidDocumentError
from cdp_platform.catalog.json_values import digits, exact
from cdp_platform.catalog.jsonld import Document, as_text, label, many, single, text, unescaped
from cdp_platform.catalog.offers import can_be_bought, read_offers
from cdp_platform.catalog.prices import Offer
from cdp_platform.ops.rejected import RejectedDocumentError

_MAX_TEXT_BYTES = 400
_MAX_CATEGORY_BYTES = 1000
_MOST_REMEMBERED = 10_000

# Terms of schema.org for properties of a variant; they become attributes beside those of additionalProperty.
TRAITS = ("color", "size", "material", "pattern", "weight", "width", "height", "depth")

# Items rejected with these codes do not keep their row: the row is removed.
DISOWNED = frozenset(
    {"brand_not_owned", "brand_unknown", "duplicate_id", "duplicate_sku", "duplicate_product_group_id"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a shard, not yet read.

    Attributes:
        path: JSON path in the shard.
        document: the item; anything but an object is rejected later.
        parent: the group that it is nested in as a variant.
    """

    path: str
    document: Any
    parent: Document | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A product group; ``categories`` are names for people, ``category_ids`` paths of slugs."""

    group_id: str
    brand_id: str
    brand_name: str
    product_group_id: str | None
    name: str
    description: str | None
    url: str | None
    image: str | None
    categories: list[str]
    category_ids: list[str]
    varies_by: list[str]
    media: list[Any]


# Not frozen, because that takes longer to make, and a feed has many.
@dataclass(slots=True)
class Product:
    """A product: a variant of a group, or one that stands alone.

    Attributes:
        brand_id: None if it names no brand; it then has the brand of its group. Likewise ``brand_name``.
        in_stock: whether any of its offers can be bought now; None if no offer states its availability.
        prices_change_at: when another price of its offers may hold; None if never.
        remarks: codes of peculiarities that did not reject the item.
    """

    product_id: str
    brand_id: str | None
    brand_name: str | None
    group_id: str | None
    sku: str
    name: str
    description: str | None
    url: str | None
    images: list[str]
    categories: list[str]
    category_ids: list[str]
    attributes: dict[str, str]
    gtin: str | None
    mpn: str | None
    in_stock: bool | None
    offers: list[Offer]
    prices_change_at: datetime | None
    remarks: list[str]


def read_shard(content: bytes, what: str) -> Iterator[Entry]:
    """The items of a shard in their order, variants after the group that they are nested in.

    Raises:
        InvalidDocumentError: it is no shard; raised before the first item.
    """
    document = jsonld.parse(content, what)
    if not isinstance(document, dict) or "ItemList" not in jsonld.types(document):
        raise InvalidDocumentError(f"{what} is no shard of a feed: its @type is not ItemList.")
    elements = document.get("itemListElement")
    if not isinstance(elements, list):
        raise InvalidDocumentError(f"{what} is no shard of a feed: it has no list itemListElement.")
    try:
        jsonld.check_context(document)
    except RejectedDocumentError as error:
        raise InvalidDocumentError.of(what, error) from error
    return _entries(elements)


def with_variants(item: Any, path: str) -> Iterator[Entry]:
    """An item, and after it the variants that are nested in it."""
    if not isinstance(item, dict) or "hasVariant" not in item:
        yield Entry(path, item)
        return
    yield Entry(path, {name: value for name, value in item.items() if name != "hasVariant"})
    for number, variant in enumerate(many(item["hasVariant"])):
        # A variant that is only named is an item elsewhere in the feed.
        if isinstance(variant, dict) and variant.keys() <= {"@id", "@type"}:
            continue
        yield Entry(f"{path}.hasVariant[{number}]", variant, item)


def is_group(entry: Entry) -> bool:
    """Whether an item is a product group rather than a product.

    Raises:
        RejectedDocumentError: it is neither.
    """
    if not isinstance(entry.document, dict):
        raise RejectedDocumentError("not_an_item", entry.path, "it is no object")
    types = jsonld.types(entry.document)
    if "ProductGroup" in types:
        return True
    if types.isdisjoint({"Product", "IndividualProduct", "ProductModel"}):
        raise RejectedDocumentError("type_unknown", f"{entry.path}['@type']", "it is neither ProductGroup nor Product")
    return False


def to_group(entry: Entry, brands: Brands) -> Group:
    """Read a product group; raises RejectedDocumentError."""
    item, path = entry.document, entry.path
    brand = brands.of(item, path)
    if brand is None:
        raise brand_names.missing(path)
    categories, category_ids = read_categories(item, path)
    images = _images(item, path)
    return Group(
        group_id=group_id(item, path),
        brand_id=brand[0],
        brand_name=brand[1],
        product_group_id=key_text(item, "productGroupID", path),
        name=_name(item, path),
        description=label(item, "description", path),
        url=text(item, "url", path),
        image=images[0] if images else None,
        categories=categories,
        category_ids=category_ids,
        varies_by=[each for each in many(item.get("variesBy")) if isinstance(each, str)],
        media=many(item.get("cmp:media") or item.get("@cmp:media")),
    )


def to_product(entry: Entry, brands: Brands, now: datetime | None = None) -> Product:
    """Read a product with the prices that hold at a moment, by default now; raises RejectedDocumentError."""
    item, path = entry.document, entry.path
    group = single(item.get("isVariantOf"))
    group_id = _group_of(item, path, entry.parent)
    brand = brands.of(item, path) or (brands.of(group, f"{path}.isVariantOf") if isinstance(group, dict) else None)
    if brand is None and group_id is None:
        raise brand_names.missing(path)
    categories, category_ids = read_categories(item, path)
    offers = read_offers(item, path, now or datetime.now(UTC))
    # An offer without an availability says nothing about the stock.
    stock = [can_be_bought(offer.availability) for offer in offers.taken if offer.availability]
    gtin, remarks = gtins.read_gtin(item)
    return Product(
        product_id=jsonld.item_id(item, path),
        brand_id=brand[0] if brand else None,
        brand_name=brand[1] if brand else None,
        group_id=group_id,
        sku=sku(item, path),
        name=_name(item, path),
        description=label(item, "description", path),
        url=text(item, "url", path),
        images=_images(item, path),
        categories=categories,
        category_ids=category_ids,
        attributes=_attributes(item, path),
        gtin=gtin,
        mpn=text(item, "mpn", path),
        in_stock=any(stock) if stock else None,
        offers=offers.taken,
        prices_change_at=offers.changes_at,
        remarks=sorted(offers.remarks | remarks),
    )


def group_id(item: Document, path: str) -> str:
    """The id of a group; ``urn:cmp:product:`` and ``urn:cmp:productgroup:`` with the same number are one group."""
    urn = jsonld.item_id(item, path)
    prefix = "urn:cmp:product:"
    return f"urn:cmp:productgroup:{urn.removeprefix(prefix)}" if urn.startswith(prefix) else urn


def sku(item: Document, path: str) -> str:
    """The SKU of a product; raises RejectedDocumentError if it has none."""
    found = key_text(item, "sku", path)
    if found is None:
        raise RejectedDocumentError("sku_missing", f"{path}.sku", "it has no SKU, or an empty one")
    return found


def key_text(item: Document, name: str, path: str) -> str | None:
    """A text that is short enough for an index."""
    found = text(item, name, path)
    if found and len(found.encode()) > _MAX_TEXT_BYTES:
        raise RejectedDocumentError("text_too_long", f"{path}.{name}", f"{name} has more than {_MAX_TEXT_BYTES} bytes")
    return found


def slug(name: str) -> str:
    """A category's name as part of an id."""
    return "-".join(re.sub(r"[&/]", " ", name.casefold()).replace("_", " ").split())


def inherited(parent: Document) -> bytes:
    """The part of a variant's hash that comes from the group that it is nested in; raises RejectedDocumentError."""
    return jsonld.canonical({"@id": parent.get("@id")})


def _entries(elements: list[Any]) -> Iterator[Entry]:
    for at, element in enumerate(elements):
        path, item = f"$.itemListElement[{at}]", element
        if isinstance(element, dict) and "item" in element:
            path, item = f"{path}.item", element["item"]
        yield from with_variants(item, path)


def _group_of(item: Document, path: str, parent: Document | None) -> str | None:
    stated = single(item.get("isVariantOf"))
    if isinstance(stated, str) and stated.strip():
        stated = {"@id": stated}
    if not stated:
        return group_id(parent, path.rpartition(".")[0]) if parent is not None else None
    if not isinstance(stated, dict):
        raise RejectedDocumentError("group_not_understood", f"{path}.isVariantOf", "isVariantOf names no single group")
    return group_id(stated, f"{path}.isVariantOf")


def _name(item: Document, path: str) -> str:
    found = label(item, "name", path)
    if found is None:
        raise RejectedDocumentError("name_missing", f"{path}.name", "it has no name")
    return found


def read_categories(item: Document, path: str) -> tuple[list[str], list[str]]:
    """Names of categories, and their paths of slugs, without repetitions."""
    found: dict[str, str] = {}
    stated = item.get("category")
    for at, each in enumerate(many(stated)):
        where = f"{path}.category[{at}]" if isinstance(stated, list) else f"{path}.category"
        name = _category_name(each, where)
        if name is None:
            continue
        category_id, spelled = _category(name)
        if not category_id:
            continue
        if len(category_id.encode()) > _MAX_CATEGORY_BYTES:
            raise RejectedDocumentError("text_too_long", where, f"a category has more than {_MAX_CATEGORY_BYTES} bytes")
        found.setdefault(category_id, spelled)
    return list(found.values()), list(found)


def _category_name(stated: Any, path: str) -> str | None:
    if isinstance(stated, str):
        return stated
    if isinstance(stated, dict) and "@value" not in stated:
        return text(stated, "name", path)
    try:
        return as_text(stated, path)
    except RejectedDocumentError:
        raise RejectedDocumentError("category_not_a_text", path, "a category is no text") from None


@lru_cache(maxsize=_MOST_REMEMBERED)
def _category(name: str) -> tuple[str, str]:
    """A category's path of slugs, and its name; both empty if no letter of it is left."""
    # Unicode can write the same letters in several ways; they are one category.
    plain = unicodedata.normalize("NFC", unescaped(name) or "")
    parts = [" ".join((jsonld.clean(part) or "").split()) for part in plain.split(">")]
    parts = [part for part in parts if slug(part)]
    return "/".join(map(slug, parts)), " > ".join(parts)


def _images(item: Document, path: str) -> list[str]:
    where = f"{path}.image"
    return [found for each in many(item.get("image")) if each and (found := jsonld.link(each, where)) is not None]


def _attributes(item: Document, path: str) -> dict[str, str]:
    stated = [(term, plain_value(item[term])) for term in TRAITS if term in item]
    for at, each in enumerate(many(item.get("additionalProperty"))):
        where = f"{path}.additionalProperty[{at}]"
        if not isinstance(each, dict):
            raise RejectedDocumentError("attribute_not_understood", where, "an attribute is no object")
        name = label(each, "name", where) or label(each, "propertyID", where)
        if name:
            stated.append((name, plain_value(each.get("value"))))
    return joined(stated)


def joined(stated: list[tuple[str, str]]) -> dict[str, str]:
    """Values by name, of names and values in the order of the item; a name that is stated twice has both values."""
    found: dict[str, str] = {}
    traits = {name for name, value in stated if value and name in TRAITS}
    for stated_name, value in stated:
        # Another spelling of a trait, such as Color, is the same trait.
        name = stated_name.casefold() if stated_name.casefold() in traits else stated_name
        if value and name not in found:
            found[name] = value
        elif value and value != found[name]:
            found[name] = f"{found[name]}, {value}"
    return found


def plain_value(value: Any) -> str:
    """The value of an attribute, for people."""
    if isinstance(value, str):
        return unescaped(value) or "" if "&" in value else jsonld.clean(value) or ""
    if isinstance(value, dict):
        unit = "unitText" if value.get("unitText") else "unitCode"
        return " ".join(filter(None, (plain_value(value.get(part)) for part in ("value", unit, "name", "@value"))))
    if isinstance(value, list):
        return ", ".join(filter(None, map(plain_value, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = exact(value)
    return "" if number is None else digits(number)
