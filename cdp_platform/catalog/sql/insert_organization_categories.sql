INSERT INTO catalog.organization_category (tenant_id, organization_id, category_id)
SELECT %(tenant)s, %(organization)s, unnest(%(categories)s::text[]) ON CONFLICT DO NOTHING
