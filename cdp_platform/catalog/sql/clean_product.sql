DELETE FROM catalog.product WHERE tenant_id = %(tenant)s AND tombstoned_at < now() - %(products_until)s
