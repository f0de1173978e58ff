SELECT d.ctid FROM enrichment.phone_delivery AS d WHERE d.tenant_id = %(tenant)s AND d.received_at < %(until)s
