INSERT INTO catalog.category (tenant_id, organization_id, category_id, name)
SELECT %(tenant)s, %(organization)s, id, name FROM unnest(%(categories)s::text[], %(names)s::text[]) AS c (id, name)
ON CONFLICT DO NOTHING
