INSERT INTO catalog.offer (
    tenant_id, organization_id, product_id, offer_number, seller_id, price, currency, availability, inventory_level,
    price_valid_until, url, generation
)
SELECT %(tenant)s, %(organization)s, product_id, offer_number, coalesce(seller_id, %(organization)s), price, currency,
       availability, inventory_level, price_valid_until, url, %(generation)s
FROM stage_offer
