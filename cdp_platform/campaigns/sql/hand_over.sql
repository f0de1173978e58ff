-- The second statement of a batch: it sees what was committed before the recipients were locked. It looks at everything again, and
-- hands over, puts off or excludes. An unknown delivery whose key is honoured goes again under it, and stays unknown.
WITH due AS MATERIALIZED (
    SELECT d.delivery_id, d.profile_id, d.address_hash, d.state::text AS state, d.attempts, d.handed_over_at,
        coalesce(d.time_zone, 'UTC') AS time_zone
    FROM unnest(%(ids)s::text[]) AS id
    JOIN campaigns.delivery_log AS d ON d.tenant_id = %(tenant)s AND d.delivery_id = id
), people AS MATERIALIZED (
    SELECT DISTINCT profile_id FROM due WHERE profile_id IS NOT NULL
), {permission}, looked_at AS (
    SELECT due.delivery_id, due.state, due.attempts, e.end_at, may.address,
        -- An event that was put off while it ran waits for its new start.
        campaigns.next_allowed(greatest(now(), own.start_at), due.time_zone, %(quiet_from)s, %(quiet_until)s) AS may_go_at,
        due.state = 'unknown' AND due.handed_over_at + make_interval(secs => %(key_seconds)s) <= now() AS is_forgotten,
        CASE
            WHEN e.status = 'cancelled' THEN 'cancelled'
            WHEN due.profile_id IS NULL THEN 'erased'
            WHEN may.reason IN ('closed', 'no_address') THEN may.reason
            WHEN may.address_hash <> due.address_hash THEN 'address_changed'
            WHEN may.reason IS NOT NULL THEN may.reason
            -- An unknown one counts for the caps already.
            WHEN may.is_capped AND due.state = 'reserved' THEN 'capped'
            -- When the event began, the grace was over where this person is.
            WHEN own.start_at + e.grace < e.started_at THEN 'too_late'
        END AS reason
    FROM due
    JOIN campaigns.marketing_event AS e
        ON e.tenant_id = %(tenant)s AND e.event_id = %(event)s AND e.status IN ('running', 'cancelled')
    CROSS JOIN LATERAL (
        SELECT CASE WHEN e.local_time THEN campaigns.local_start(e.start_at, due.time_zone) ELSE e.start_at END AS start_at
    ) AS own
    LEFT JOIN permission AS may ON may.profile_id = due.profile_id
), decision AS (
    SELECT delivery_id, may_go_at, address,
        CASE
            WHEN state = 'unknown' THEN CASE
                WHEN reason IS NOT NULL OR is_forgotten OR may_go_at > end_at THEN 'left'
                WHEN may_go_at > now() THEN 'put off'
                ELSE 'again'
            END
            WHEN reason IS NULL AND may_go_at > end_at THEN CASE WHEN attempts > 0 THEN 'failed' ELSE 'excluded' END
            WHEN reason IS NOT NULL THEN 'excluded'
            WHEN may_go_at > now() THEN 'put off'
            ELSE 'handed_over'
        END AS decided,
        coalesce(reason, CASE WHEN may_go_at > end_at THEN CASE WHEN attempts > 0 THEN 'expired' ELSE 'too_late' END END) AS reason
    FROM looked_at
), moved AS (
    UPDATE campaigns.delivery_log AS d SET
        state = CASE WHEN o.decided IN ('handed_over', 'excluded', 'failed') THEN o.decided ELSE d.state END,
        reason = CASE WHEN o.decided IN ('excluded', 'failed') THEN o.reason WHEN o.decided = 'handed_over' THEN NULL ELSE d.reason END,
        due_at = CASE o.decided
            WHEN 'put off' THEN o.may_go_at
            WHEN 'again' THEN now() + make_interval(secs => %(lease_seconds)s)
            WHEN 'left' THEN NULL
            ELSE d.due_at
        END,
        handed_over_at = CASE o.decided WHEN 'handed_over' THEN now() ELSE d.handed_over_at END,
        settled_at = CASE WHEN o.decided IN ('excluded', 'failed') THEN now() ELSE d.settled_at END,
        claim = CASE WHEN o.decided IN ('handed_over', 'again') THEN %(claim)s::uuid END,
        lease_until = CASE
            WHEN o.decided IN ('handed_over', 'again') THEN statement_timestamp() + make_interval(secs => %(lease_seconds)s)
        END
    FROM decision AS o
    WHERE d.tenant_id = %(tenant)s AND d.delivery_id = o.delivery_id
    RETURNING d.delivery_id, d.message_key, d.address_hash, d.profile_id, o.address, o.decided
)
SELECT moved.decided, moved.delivery_id, moved.message_key, moved.address, moved.address_hash{variables}
FROM moved LEFT JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = moved.profile_id
