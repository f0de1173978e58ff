-- Their snapshots, which name no event.
INSERT INTO campaigns.segment_snapshot (tenant_id, snapshot_id, segment_id, segment_version, people, taken_at)
SELECT %(tenant)s, 'leo-activation:' || r.key, r.document ->> 'segment_name',
       CASE WHEN r.document ->> 'segment_version' ~ '^[0-9]{1,9}$' THEN (r.document ->> 'segment_version')::int END,
       coalesce(m.people, 0), (r.document ->> 'created_at')::timestamptz
FROM leo_row AS r
LEFT JOIN (
    SELECT document ->> 'snapshot_id' AS snapshot_id, count(DISTINCT profile_id) AS people
    FROM leo_row WHERE relation = 'segment_snapshot_member' AND code IS NULL GROUP BY 1
) AS m ON m.snapshot_id = r.key
WHERE r.relation = 'segment_snapshot'
ON CONFLICT (tenant_id, snapshot_id) DO UPDATE SET people = excluded.people
WHERE segment_snapshot.people <> excluded.people
