SELECT line, outcome, reason, given, found
FROM enrichment.enriched_contacts WHERE tenant_id = %(tenant)s AND search_id = %(search)s ORDER BY line
