-- One array element per delivery that was handed over. An outcome that came after the end of its lease is taken only where it
-- is evidence: the delivery is unknown by now.
WITH outcome AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(states)s::text[], %(reasons)s::text[], %(answers)s::text[], %(attempts)s::int[], %(waits)s::float8[]
    ) AS o (delivery_id, state, reason, answer, attempts, wait)
), moved AS (
    SELECT d.delivery_id, o.reason, o.answer, d.attempts + o.attempts AS attempts, n.next_at,
        CASE
            -- That it was not taken this time says nothing of the time before.
            WHEN o.state = 'reserved' AND d.state = 'unknown' THEN 'unknown'
            WHEN o.state = 'reserved' AND o.attempts > 0 AND n.next_at > e.end_at THEN 'failed'
            ELSE o.state
        END AS state
    FROM outcome AS o
    JOIN campaigns.delivery_log AS d ON d.tenant_id = %(tenant)s AND d.delivery_id = o.delivery_id
    JOIN campaigns.marketing_event AS e ON e.tenant_id = d.tenant_id AND e.event_id = d.event_id
    -- Another attempt for a reason of the person waits twice as long each time, from one minute to six hours, give or take a fifth.
    -- A key whose message is unknown goes again when it is twice as old, after an hour at most.
    CROSS JOIN LATERAL (SELECT now() + make_interval(secs => CASE
        WHEN o.state = 'unknown' THEN greatest(o.wait, least(extract(epoch FROM now() - d.handed_over_at), 3600))
        ELSE coalesce(o.wait, least(60 * 2 ^ least(d.attempts, 20), 21600) * (0.8 + 0.4 * random()))
    END) AS next_at) AS n
    WHERE d.state IN ('handed_over', 'unknown')
      AND (d.claim = %(claim)s OR d.state = 'unknown' AND o.state IN ('confirmed', 'failed'))
)
UPDATE campaigns.delivery_log AS d SET
    state = m.state,
    reason = CASE
        WHEN m.state IN ('reserved', 'confirmed') THEN NULL
        WHEN m.state = 'failed' AND m.reason IS NULL THEN 'expired'
        ELSE m.reason
    END,
    answer = m.answer, attempts = m.attempts,
    -- A message that the provider certainly has not counts for no cap.
    handed_over_at = CASE WHEN m.state <> 'reserved' THEN d.handed_over_at END,
    due_at = CASE
        WHEN m.state = 'reserved' THEN m.next_at
        -- The same key goes again while the provider honours it.
        WHEN m.state = 'unknown' AND d.handed_over_at + make_interval(secs => %(key_seconds)s) > m.next_at THEN m.next_at
    END,
    settled_at = CASE WHEN m.state <> 'reserved' THEN now() END,
    claim = NULL, lease_until = NULL
FROM moved AS m
WHERE d.tenant_id = %(tenant)s AND d.delivery_id = m.delivery_id
