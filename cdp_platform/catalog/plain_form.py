"""The structs of an item in its plain form, in which nearly all items of a feed are written.

They have the terms of the protocol's specification and those that shops write beside them. Any other term, or value of
another type, is refused. Fields are in the order of their names in JSON, so that an encoded struct has sorted keys as
`jsonld.canonical` has.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

INTEGERS_END = 10**18

Text = str | UnsetType
# Of the size that `json_values` reads as a whole number too.
_Integer = Annotated[int, Meta(gt=-INTEGERS_END, lt=INTEGERS_END)] | UnsetType


class Identifier(Struct, frozen=True, forbid_unknown_fields=True):
    """A schema.org PropertyValue that identifies a party."""

    type: Text = field(default=UNSET, name="@type")
    property_id: Text = field(default=UNSET, name="propertyID")
    value: Text = UNSET


class Party(Struct, frozen=True, forbid_unknown_fields=True):
    """A brand or a seller; frozen, so that it is the key of what was found for it."""

    id: Text = field(default=UNSET, name="@id")
    type: Text = field(default=UNSET, name="@type")
    identifier: Identifier | Text = UNSET
    logo: Text = UNSET
    name: Text = UNSET
    url: Text = UNSET


class Reference(Struct, forbid_unknown_fields=True):
    """The group that a product is a variant of."""

    id: Text = field(default=UNSET, name="@id")
    type: Text = field(default=UNSET, name="@type")
    name: Text = UNSET
    product_group_id: Text = field(default=UNSET, name="productGroupID")
    url: Text = UNSET


class Property(Struct, forbid_unknown_fields=True):
    """An attribute of a variant."""

    type: Text = field(default=UNSET, name="@type")
    name: Text = UNSET
    property_id: Text = field(default=UNSET, name="propertyID")
    value: Text = UNSET


class Quantity(Struct, forbid_unknown_fields=True):
    """How many are in stock."""

    type: Text = field(default=UNSET, name="@type")
    value: _Integer = UNSET


class Specification(Struct, forbid_unknown_fields=True):
    """A price beside the offer's own."""

    type: Text = field(default=UNSET, name="@type")
    price: Any = UNSET
    currency: Text = field(default=UNSET, name="priceCurrency")
    price_type: Text = field(default=UNSET, name="priceType")


class Offer(Struct, forbid_unknown_fields=True):
    """One offer; prices are numbers or texts, which are checked where they are read."""

    id: Text = field(default=UNSET, name="@id")
    type: Text = field(default=UNSET, name="@type")
    availability: Text = UNSET
    inventory_level: Quantity | UnsetType = field(default=UNSET, name="inventoryLevel")
    condition: Text = field(default=UNSET, name="itemCondition")
    price: Any = UNSET
    currency: Text = field(default=UNSET, name="priceCurrency")
    specification: Specification | UnsetType = field(default=UNSET, name="priceSpecification")
    valid_until: Text = field(default=UNSET, name="priceValidUntil")
    seller: Party | Text = UNSET
    url: Text = UNSET


class Media(Struct, forbid_unknown_fields=True):
    """An image or a video."""

    id: Text = field(default=UNSET, name="@id")
    type: Text = field(default=UNSET, name="@type")
    caption: Text = UNSET
    content_url: Text = field(default=UNSET, name="contentUrl")
    description: Text = UNSET
    duration: Text = UNSET
    encoding_format: Text = field(default=UNSET, name="encodingFormat")
    height: _Integer = UNSET
    name: Text = UNSET
    thumbnail_url: Text = field(default=UNSET, name="thumbnailUrl")
    upload_date: Text = field(default=UNSET, name="uploadDate")
    url: Text = UNSET
    width: _Integer = UNSET


class Item(Struct, forbid_unknown_fields=True, kw_only=True):
    """A product group or a product; each may have the terms of both."""

    at_media: list[Media] | UnsetType = field(default=UNSET, name="@cmp:media")
    context: Text = field(default=UNSET, name="@context")
    id: str = field(name="@id")
    type: Literal["Product", "ProductGroup"] = field(name="@type")
    properties: list[Property] | UnsetType = field(default=UNSET, name="additionalProperty")
    brand: Party | Text = UNSET
    category: str | list[str] | UnsetType = UNSET
    media: list[Media] | UnsetType = field(default=UNSET, name="cmp:media")
    color: Text = UNSET
    depth: Text = UNSET
    description: Text = UNSET
    gtin: Text = UNSET
    gtin12: Text = UNSET
    gtin13: Text = UNSET
    gtin14: Text = UNSET
    gtin8: Text = UNSET
    height: Text = UNSET
    image: str | list[str] | UnsetType = UNSET
    group: Reference | UnsetType = field(default=UNSET, name="isVariantOf")
    condition: Text = field(default=UNSET, name="itemCondition")
    material: Text = UNSET
    mpn: Text = UNSET
    name: Text = UNSET
    offers: Offer | list[Offer] | UnsetType = UNSET
    pattern: Text = UNSET
    product_group_id: Text = field(default=UNSET, name="productGroupID")
    size: Text = UNSET
    sku: Text = UNSET
    url: Text = UNSET
    varies_by: list[str] | UnsetType = field(default=UNSET, name="variesBy")
    weight: Text = UNSET
    width: Text = UNSET
