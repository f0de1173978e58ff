INSERT INTO catalog.offer (
    tenant_id, organization_id, product_id, offer_number, seller_id, price, currency, list_price, low_price, high_price,
    offer_count, other_prices, price_valid_until, availability, inventory_level, url, generation
)
SELECT %(tenant)s, %(organization)s, product_id, offer_number, coalesce(seller_id, %(organization)s), price, currency,
       list_price, low_price, high_price, offer_count, other_prices, price_valid_until, availability, inventory_level,
       url, %(generation)s
FROM stage_offer
