-- Events that held somebody out, with the end of the days that are measured. West of UTC local time is up to 12 hours later.
SELECT s.event_id,
       %(after)s + CASE WHEN e.local_time THEN greatest(s.taken_at, e.start_at + interval '12 hours') ELSE s.taken_at END AS until
FROM campaigns.segment_snapshot AS s
JOIN campaigns.marketing_event AS e ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
WHERE s.tenant_id = %(tenant)s AND (s.holdout_share > 0 OR s.global_holdout_share > 0)
  AND (%(event)s::text IS NULL OR s.event_id = %(event)s)
ORDER BY s.taken_at, s.event_id
