-- Events that held somebody out, with the moment from which purchases count: the freeze, or with local_time the first start
-- of a person of the audience. It is the same moment for everybody, since those who are held out have no start of their own.
SELECT s.event_id, CASE WHEN e.local_time THEN greatest(s.taken_at, (
    SELECT min(campaigns.local_start(e.start_at, m.time_zone))
    FROM campaigns.segment_snapshot_member AS m
    WHERE m.tenant_id = s.tenant_id AND m.snapshot_id = s.snapshot_id AND m.decision = 'included'
)) ELSE s.taken_at END AS began
FROM campaigns.segment_snapshot AS s
JOIN campaigns.marketing_event AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE s.tenant_id = %(tenant)s AND (s.holdout_share > 0 OR s.global_holdout_share > 0)
  AND (%(event)s::text IS NULL OR s.event_id = %(event)s)
ORDER BY s.taken_at, s.event_id
