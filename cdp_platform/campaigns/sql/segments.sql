-- The version of each segment that is used.
SELECT segment_id, version, name, kind, rules, seed_segment_id, origin, problem, content_hash, retired_at IS NOT NULL AS retired
FROM (
    SELECT s.*, row_number() OVER (PARTITION BY segment_id ORDER BY version DESC) AS place
    FROM campaigns.segment AS s
    WHERE tenant_id = %(tenant)s AND (%(segment)s::text IS NULL OR segment_id = %(segment)s)
) AS s
WHERE place = 1
ORDER BY name, segment_id
