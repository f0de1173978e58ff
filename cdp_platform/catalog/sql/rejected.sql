-- A page of the feed's rejected items. The document of an unchanged item is in its table.
SELECT e.number, %(organization)s || ' shard ' || e.shard || ' ' || e.item_path, e.code, e.path, e.message,
       coalesce(e.document::json, g.document::json, p.document::json, '{}'::json)
FROM stage_entry AS e
LEFT JOIN catalog.product_group AS g
    ON e.is_group AND g.tenant_id = %(tenant)s AND g.organization_id = %(organization)s AND g.group_id = e.item_id
LEFT JOIN catalog.product AS p
    ON NOT e.is_group AND p.tenant_id = %(tenant)s AND p.organization_id = %(organization)s AND p.product_id = e.item_id
WHERE e.code IS NOT NULL AND e.number > %(after)s
ORDER BY e.number LIMIT %(page)s
