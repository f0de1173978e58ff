-- Seconds since the sensor `arango_changes` last could look at each active tenant's database, the longest first. A tenant that
-- it never looked at counts from when it was added.
SELECT t.tenant_id, extract(epoch FROM now() - coalesce(l.looked_at, t.created_at))::float8 AS age_seconds,
       l.looked_at IS NOT NULL AS ever
FROM ops.registered_tenants() AS t
LEFT JOIN ops.source_looks('arango_changes') AS l ON l.tenant_id = t.tenant_id AND l.source = t.arango_database
WHERE t.status = 'active' AND t.arango_database <> ''
ORDER BY age_seconds DESC
