{permission}, ranked AS (
    -- The profile that was updated last stays of those with one address.
    SELECT *, reason IS NULL AND row_number() OVER (
        PARTITION BY address_hash, reason IS NULL ORDER BY updated_at DESC NULLS LAST, profile_id) > 1 AS is_duplicate
    FROM permission
), reached AS MATERIALIZED (
    SELECT r.profile_id, r.address_hash, row_number() OVER () AS member,
        CASE
            WHEN r.reason IS NOT NULL THEN r.reason
            WHEN r.is_duplicate THEN 'duplicate'
            WHEN r.is_capped THEN 'capped'
            WHEN campaigns.held_out(s.salt, '*', r.profile_id, %(holdout_of_all)s::numeric)
                OR campaigns.held_out(s.salt, %(event)s, r.profile_id, %(holdout_of_event)s::numeric) THEN 'holdout'
        END AS reason
    FROM ranked AS r JOIN ops.address_salt AS s ON s.tenant_id = %(tenant)s
), located AS (
    SELECT profile_id FROM reached WHERE reason IS NULL
), {time_zones}, due AS (
    SELECT z.profile_id, z.zone, z.source,
        campaigns.next_allowed(
            greatest(
                CASE WHEN %(local_time)s THEN campaigns.local_start(%(start_at)s, z.zone) ELSE %(start_at)s::timestamptz END,
                %(moment)s),
            z.zone, %(quiet_from)s, %(quiet_until)s) AS due_at,
        -- The hour has passed in this zone, though the event is not missed in others.
        %(local_time)s AND campaigns.local_start(%(start_at)s, z.zone) + %(grace)s < %(moment)s AS is_over
    FROM time_zone AS z
), decided AS MATERIALIZED (
    SELECT r.profile_id, r.address_hash, r.member, d.zone, d.source, d.due_at,
        coalesce(r.reason, CASE WHEN d.due_at > %(end_at)s OR d.is_over THEN 'too_late' END) AS reason
    FROM reached AS r LEFT JOIN due AS d ON d.profile_id = r.profile_id
)
