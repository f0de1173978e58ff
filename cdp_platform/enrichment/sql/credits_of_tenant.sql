SELECT coalesce(sum(credits + credits_reserved), 0) FROM enrichment.search WHERE tenant_id = %(tenant)s
