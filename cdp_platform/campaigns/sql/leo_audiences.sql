-- The audience of an event that was sent: as many people as it has deliveries, also where it was sent twice to one. The people
-- that it left out were never written down there.
INSERT INTO campaigns.segment_snapshot (tenant_id, snapshot_id, event_id, segment_id, people, taken_at)
SELECT e.tenant_id, e.event_id, e.event_id, e.segment_id, count(*), min(d.created_at)
FROM campaigns.marketing_event AS e
JOIN campaigns.delivery_log AS d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id AND NOT d.superseded
WHERE e.tenant_id = %(tenant)s AND e.origin = 'leo-activation'
GROUP BY e.tenant_id, e.event_id
ON CONFLICT (tenant_id, snapshot_id) DO UPDATE SET people = excluded.people
