-- New ones, those that were found again since a message of an hour ago, and those that ended since.
SELECT alert_id, kind, subject, tenant, room, owners, message, run_id, state, first_at, last_at, ended_at, count,
    told_at, told_count, end_told
FROM ops.alert
WHERE state = 'open' AND (told_at IS NULL OR count > told_count AND told_at <= now() - %s)
    OR state = 'ended' AND NOT end_told
ORDER BY first_at, alert_id
FOR UPDATE
