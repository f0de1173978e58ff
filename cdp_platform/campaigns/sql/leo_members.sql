INSERT INTO campaigns.segment_snapshot_member (tenant_id, snapshot_id, member, profile_id, decision)
SELECT %(tenant)s, there.snapshot_id,
       coalesce(here.greatest, 0) + row_number() OVER (PARTITION BY there.snapshot_id ORDER BY there.profile_id),
       there.profile_id, 'included'
FROM (
    SELECT DISTINCT 'leo-activation:' || (document ->> 'snapshot_id') AS snapshot_id, profile_id
    FROM leo_row WHERE relation = 'segment_snapshot_member' AND code IS NULL
) AS there
LEFT JOIN (
    SELECT snapshot_id, max(member) AS greatest
    FROM campaigns.segment_snapshot_member WHERE tenant_id = %(tenant)s GROUP BY snapshot_id
) AS here ON here.snapshot_id = there.snapshot_id
WHERE NOT EXISTS (
    SELECT FROM campaigns.segment_snapshot_member AS m
    WHERE m.tenant_id = %(tenant)s AND m.snapshot_id = there.snapshot_id AND m.profile_id = there.profile_id)
