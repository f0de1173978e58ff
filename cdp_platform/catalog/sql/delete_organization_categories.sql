DELETE FROM catalog.organization_category
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND category_id <> ALL (%(categories)s)
