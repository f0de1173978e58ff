-- One row if too many of an event's messages went wrong: how many, and of how many. Sent messages are counted only as far as it
-- takes to know that a share is within its limit.
WITH wrong AS (
    SELECT count(DISTINCT delivery_id) FILTER (WHERE is_bounce) AS bounced,
        count(DISTINCT delivery_id) FILTER (WHERE NOT is_bounce) AS complained
    FROM (
        SELECT d.delivery_id, true AS is_bounce FROM campaigns.delivery_log AS d
        WHERE d.tenant_id = %(tenant)s AND d.event_id = %(event)s AND d.state = 'failed'
            AND d.reason IN ('bad_address', 'template')
        UNION ALL
        SELECT d.delivery_id, o.kind = 'bounced' FROM campaigns.delivery_outcome AS o
        JOIN campaigns.delivery_log AS d ON d.tenant_id = o.tenant_id AND d.delivery_id = o.delivery_id
        WHERE o.tenant_id = %(tenant)s AND d.event_id = %(event)s AND (
            o.kind = 'complained'
            OR o.kind = 'bounced' AND o.status_code = ANY (%(bad_address)s))
    ) AS each
)
SELECT w.bounced, w.complained, s.sent FROM wrong AS w CROSS JOIN LATERAL (
    SELECT count(*) AS sent FROM (
        SELECT FROM campaigns.delivery_log AS d
        WHERE d.tenant_id = %(tenant)s AND d.event_id = %(event)s AND d.handed_over_at IS NOT NULL
        LIMIT greatest(%(least)s, w.bounced / %(most_bounced)s + 1, w.complained / %(most_complained)s + 1)::bigint) AS one
) AS s
WHERE (w.bounced > 0 OR w.complained > 0) AND s.sent >= %(least)s
    AND (w.bounced > s.sent * %(most_bounced)s OR w.complained > s.sent * %(most_complained)s)
