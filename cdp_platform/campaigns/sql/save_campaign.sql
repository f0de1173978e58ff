INSERT INTO campaigns.campaign (tenant_id, code, name, objective, start_at, end_at)
VALUES (%(tenant)s, %(code)s, %(name)s, %(objective)s, %(start_at)s, %(end_at)s)
ON CONFLICT (tenant_id, code) DO UPDATE SET
    name = excluded.name, objective = excluded.objective, start_at = excluded.start_at, end_at = excluded.end_at,
    updated_at = now()
