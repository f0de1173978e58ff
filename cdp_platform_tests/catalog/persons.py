"""What this room keeps of a person: nothing."""

IMPERSONAL = {
    "catalog.brand",
    "catalog.brand_category",
    "catalog.category",
    "catalog.feed_round",
    "catalog.feed_state",
    "catalog.offer",
    "catalog.organization",
    "catalog.organization_category",
    "catalog.product",
    "catalog.product_group",
}
