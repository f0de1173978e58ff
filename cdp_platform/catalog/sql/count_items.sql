-- The items of the feed compared with the live rows.
WITH held AS (
    SELECT true AS is_group, group_id AS item_id FROM catalog.product_group
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
    UNION ALL
    SELECT false, product_id FROM catalog.product
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
), gone AS (
    SELECT FROM held AS h
    WHERE NOT EXISTS (
        SELECT FROM stage_entry AS e
        WHERE e.is_group = h.is_group AND e.item_id = h.item_id AND (e.code IS NULL OR e.code <> ALL (%(disowned)s))
    )
)
SELECT count(*) AS items,
       count(*) FILTER (WHERE code IS NULL AND NOT held) AS new,
       count(*) FILTER (WHERE code IS NULL AND held AND changed) AS changed,
       count(*) FILTER (WHERE code IS NULL AND held AND NOT changed) AS unchanged,
       count(*) FILTER (WHERE code IS NOT NULL) AS rejected,
       (SELECT count(*) FROM gone) AS gone,
       (SELECT count(*) FROM held) AS held
FROM stage_entry
