DELETE FROM catalog.product WHERE tenant_id = %(tenant)s AND removed_at < now() - %(products_until)s
