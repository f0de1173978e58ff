DELETE FROM catalog.organization_category AS c
WHERE tenant_id = %(tenant)s AND NOT EXISTS (
    SELECT FROM catalog.organization AS o
    WHERE o.tenant_id = c.tenant_id AND o.organization_id = c.organization_id AND o.removed_at IS NULL
)
