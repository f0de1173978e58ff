-- Both sides of an event by holdout: a row of every person who bought (currency, revenue after and before), and a row without
-- currency of each side's number of people. The sides differ by the hash alone: whom a rule before the holdout excludes is in
-- neither, and what is decided after it (too_late) excludes nobody. Caps come before the holdout and know no messages to those
-- who are held out of every event, so against these the capped ones count.
WITH member AS (
    SELECT m.profile_id,
           m.reason,
           coalesce(campaigns.held_out(%(salt)s, '*', m.profile_id, s.global_holdout_share), false) AS of_all,
           s.holdout_share,
           s.global_holdout_share
    FROM campaigns.segment_snapshot AS s
    JOIN campaigns.segment_snapshot_member AS m ON m.tenant_id = s.tenant_id AND m.snapshot_id = s.snapshot_id
    WHERE s.tenant_id = %(tenant)s AND s.event_id = %(event)s AND (m.reason IS NULL OR m.reason IN ('capped', 'holdout', 'too_late'))
), side AS (
    SELECT 'event' AS holdout, coalesce(reason = 'holdout', false) AS held_out, profile_id
    FROM member WHERE holdout_share > 0 AND NOT of_all AND reason IS DISTINCT FROM 'capped'
    UNION ALL
    SELECT 'global', of_all, profile_id FROM member WHERE global_holdout_share > 0
), bought AS (
    SELECT side.holdout, side.held_out, o.currency, side.profile_id,
           coalesce(sum(o.amount) FILTER (WHERE o.ordered_at >= %(began)s), 0) AS after,
           coalesce(sum(o.amount) FILTER (WHERE o.ordered_at < %(began)s), 0) AS before
    FROM side
    JOIN customers.orders AS o ON o.tenant_id = %(tenant)s AND o.profile_id = side.profile_id
    WHERE o.ordered_at >= %(began)s - %(before)s AND o.ordered_at < %(began)s + %(after)s
      AND o.amount IS NOT NULL AND o.currency IS NOT NULL
    GROUP BY side.holdout, side.held_out, o.currency, side.profile_id
)
SELECT holdout, held_out, currency, 1 AS people, 0 AS erased, after::double precision, before::double precision FROM bought
UNION ALL
SELECT holdout, held_out, NULL, count(profile_id), count(*) - count(profile_id), NULL, NULL FROM side GROUP BY holdout, held_out
