-- A variant that names no brand has the brand of its group, in any shard of the feed, also if the group was rejected
-- for another reason.
UPDATE stage_product AS s SET brand_id = g.brand_id, brand_name = g.brand_name
FROM (
    SELECT DISTINCT ON (item_id) item_id, brand_id, brand_name FROM stage_entry WHERE is_group
    ORDER BY item_id, code IS NOT NULL, brand_id IS NULL, number
) AS g
WHERE s.inherits_brand AND g.item_id = s.group_id
