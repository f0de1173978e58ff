-- When each message of an event can go: after those before it, and no faster than the event, and then the channel, allow. In a queue
-- that takes a step for each, the n-th goes n steps after the latest moment at which nobody before it waited.
WITH of_event AS (
    SELECT profile_id,
        max(due_at - place * %(event_step)s::interval) OVER (ORDER BY place) + place * %(event_step)s::interval AS due_at
    FROM (
        SELECT profile_id, due_at, row_number() OVER (ORDER BY due_at, profile_id) - 1 AS place
        FROM pg_temp.forecast WHERE turn = %(turn)s AND reason IS NULL
    ) AS queue
), of_channel AS (
    SELECT turn, profile_id, due_at, greatest(
        max(due_at - place * %(channel_step)s::interval) OVER (ORDER BY place) + place * %(channel_step)s::interval,
        min(due_at) OVER () + (place / %(per_day)s::bigint) * interval '1 day') AS sent_at
    FROM (
        SELECT *, row_number() OVER (ORDER BY due_at, turn, profile_id) - 1 AS place FROM (
            SELECT %(turn)s AS turn, profile_id, due_at FROM of_event
            UNION ALL
            SELECT turn, profile_id, due_at FROM pg_temp.forecast
            WHERE channel = %(channel)s AND turn < %(turn)s AND reason IS NULL
        ) AS waiting
    ) AS queue
), allowed AS (
    SELECT c.profile_id, c.due_at, c.sent_at,
        campaigns.next_allowed(c.sent_at, f.time_zone, %(quiet_from)s, %(quiet_until)s) AS allowed_at
    FROM of_channel AS c
    JOIN pg_temp.forecast AS f ON f.turn = c.turn AND f.profile_id = c.profile_id
    WHERE c.turn = %(turn)s
), moved AS (
    -- A message that would go in quiet hours waits for their end, and stands in the queue then.
    UPDATE pg_temp.forecast AS f SET
        sent_at = a.allowed_at, due_at = CASE WHEN a.allowed_at > a.sent_at THEN a.allowed_at ELSE a.due_at END
    FROM allowed AS a WHERE f.turn = %(turn)s AND f.profile_id = a.profile_id
    RETURNING a.allowed_at > a.sent_at AS is_put_off
)
SELECT count(*) FILTER (WHERE is_put_off) FROM moved
