SELECT a.ctid FROM enrichment.answer AS a WHERE a.tenant_id = %(tenant)s AND a.expires_at < %(until)s
