-- Offers whose price has ended, of items whose new version was rejected. Other items have their present prices already.
WITH ended AS (
    UPDATE catalog.offer SET removed_at = now(), generation = %(generation)s
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
      AND price_valid_until < %(now)s
    RETURNING product_id, offer_number
)
-- This statement still sees the offers that have just ended.
UPDATE catalog.product AS p SET in_stock = NULL, generation = %(generation)s, synced_at = now()
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND product_id IN (SELECT product_id FROM ended)
  AND NOT EXISTS (
      SELECT FROM catalog.offer AS o
      WHERE o.tenant_id = p.tenant_id AND o.organization_id = p.organization_id AND o.product_id = p.product_id
        AND o.removed_at IS NULL
        AND NOT EXISTS (SELECT FROM ended AS e WHERE e.product_id = o.product_id AND e.offer_number = o.offer_number)
  )
