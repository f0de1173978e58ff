SELECT DISTINCT ON (segment_id) segment_id, version, name, origin
FROM campaigns.segment
WHERE tenant_id = %(tenant)s AND segment_id = ANY (%(keys)s) AND retired_at IS NULL
ORDER BY segment_id, version DESC
