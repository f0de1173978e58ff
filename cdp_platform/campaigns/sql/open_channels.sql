SELECT DISTINCT channel FROM campaigns.delivery_log WHERE tenant_id = %(tenant)s AND state IN ('handed_over', 'unknown')
