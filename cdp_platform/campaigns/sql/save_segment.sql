-- Equal content is the same version, whose name and problem may change. A segment of another origin is left alone.
WITH held AS (
    SELECT version, content_hash, origin FROM campaigns.segment
    WHERE tenant_id = %(tenant)s AND segment_id = %(segment)s ORDER BY version DESC LIMIT 1 FOR UPDATE
),
kept AS (
    UPDATE campaigns.segment AS s
    SET name = %(name)s, problem = %(problem)s,
        retired_at = CASE WHEN held.content_hash = %(content_hash)s THEN NULL ELSE s.retired_at END
    FROM held
    WHERE s.tenant_id = %(tenant)s AND s.segment_id = %(segment)s AND s.version = held.version
      AND held.origin = %(origin)s AND held.content_hash = %(content_hash)s
    RETURNING s.version
),
written AS (
    INSERT INTO campaigns.segment
        (tenant_id, segment_id, version, name, kind, rules, seed_segment_id, origin, problem, content_hash)
    SELECT %(tenant)s, %(segment)s, coalesce((SELECT version FROM held), 0) + 1, %(name)s, %(kind)s, %(rules)s, %(seed)s,
           %(origin)s, %(problem)s, %(content_hash)s
    WHERE NOT EXISTS (SELECT FROM kept) AND NOT EXISTS (SELECT FROM held WHERE origin <> %(origin)s)
    RETURNING version
)
SELECT version FROM kept UNION ALL SELECT version FROM written
