SELECT m.reason, count(m.*) FROM campaigns.segment_snapshot AS s
LEFT JOIN campaigns.segment_snapshot_member AS m ON m.tenant_id = s.tenant_id AND m.snapshot_id = s.snapshot_id
WHERE s.tenant_id = %(tenant)s AND s.event_id = %(event)s GROUP BY m.reason
