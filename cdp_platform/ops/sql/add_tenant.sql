INSERT INTO ops.tenant (tenant_id, name, arango_database, settings)
VALUES (%(tenant)s, %(name)s, %(database)s, %(settings)s)
ON CONFLICT (tenant_id) DO UPDATE
SET name = excluded.name, arango_database = excluded.arango_database, settings = excluded.settings,
    status = 'active', retired_at = NULL
