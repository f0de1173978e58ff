-- One row per event, those that begin last first: how many people are in which state, and what providers reported.
SELECT e.event_id, e.campaign_code, e.name, e.type, e.channel, e.segment_id, e.template, e.start_at, e.end_at,
    e.local_time, e.status, e.status_reason, e.started_at, e.ended_at, coalesce(s.people, 0) AS people, s.taken_at,
    s.segment_version, s.template_version, coalesce(by_state.figures, '[]') AS by_state, coalesce(told.figures, '{}') AS told
FROM campaigns.marketing_event AS e
LEFT JOIN campaigns.segment_snapshot AS s ON s.tenant_id = e.tenant_id AND s.event_id = e.event_id
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(f.state, f.reason, f.people)) AS figures
    FROM campaigns.event_state AS f WHERE f.tenant_id = e.tenant_id AND f.event_id = e.event_id
) AS by_state ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(k.kind, k.deliveries) AS figures
    FROM (
        SELECT o.kind, count(DISTINCT o.delivery_id) AS deliveries
        FROM campaigns.delivery_log AS d
        JOIN campaigns.delivery_outcome AS o ON o.tenant_id = d.tenant_id AND o.delivery_id = d.delivery_id
        WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id
        GROUP BY o.kind
    ) AS k
) AS told ON true
WHERE e.tenant_id = %(tenant)s AND (%(event)s::text IS NULL OR e.event_id = %(event)s)
ORDER BY e.start_at DESC, e.event_id
