SELECT segment_id, coalesce(name, segment_id), json_query_rules, custom_query_filter
FROM customers.cdp_segments WHERE tenant_id = %(tenant)s AND closed_at IS NULL ORDER BY segment_id
