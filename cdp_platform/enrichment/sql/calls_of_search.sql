SELECT state::text, count(*), count(*) FILTER (WHERE may_be_double)
FROM enrichment.provider_call WHERE tenant_id = %(tenant)s AND search_id = %(search)s GROUP BY 1 ORDER BY 1
