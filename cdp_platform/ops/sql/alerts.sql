SELECT alert_id, kind, subject, tenant, room, owners, message, run_id, state, first_at, last_at, ended_at, count,
    told_at, told_count, end_told
FROM ops.alert
WHERE state = 'open' OR ended_at > now() - %s
ORDER BY state, first_at, alert_id
