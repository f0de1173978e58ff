SELECT event_id, begins_at, is_frozen FROM (
    SELECT e.event_id, s.event_id IS NOT NULL AS is_frozen,
        greatest(campaigns.begins_at(e.start_at, e.local_time), %(now)s::timestamptz) AS begins_at
    FROM campaigns.marketing_event AS e
    LEFT JOIN campaigns.segment_snapshot AS s ON s.tenant_id = e.tenant_id AND s.event_id = e.event_id
    WHERE e.tenant_id = %(tenant)s AND e.status IN ('planned', 'running', 'paused')
) AS coming
WHERE begins_at <= %(now)s::timestamptz + make_interval(days => %(days)s)
ORDER BY begins_at, event_id
