-- Variants that name no brand, and whose group in the feed has no brand of the organization; changed or not.
WITH heir AS (
    SELECT number, group_id, document::text AS document FROM stage_product WHERE inherits_brand
    UNION ALL
    SELECT e.number, p.group_id, NULL
    FROM stage_entry AS e
    JOIN catalog.product AS p
        ON p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.product_id = e.item_id
    WHERE NOT e.is_group AND e.code IS NULL AND NOT e.changed AND p.inherits_brand
), origin AS (
    SELECT DISTINCT ON (item_id) item_id, brand_id, brand_code FROM stage_entry WHERE is_group
    ORDER BY item_id, code IS NOT NULL, brand_id IS NULL, number
), loser AS (
    UPDATE stage_entry AS e
    SET code = found.code, message = 'it has no brand, nor one that its group in the feed may give it',
        path = item_path || '.brand', document = found.document
    FROM (
        SELECT h.number, h.document, coalesce(o.brand_code, 'brand_missing') AS code
        FROM heir AS h LEFT JOIN origin AS o ON o.item_id = h.group_id
        WHERE o.brand_id IS NULL
    ) AS found
    WHERE e.number = found.number AND e.code IS NULL
    RETURNING e.number
), without_product AS (
    DELETE FROM stage_product AS s USING loser AS l WHERE s.number = l.number
)
DELETE FROM stage_offer AS s USING loser AS l WHERE s.number = l.number
