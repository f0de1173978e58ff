-- Who holds what a session waits for, what that is, and since when it waits. PostgreSQL shows of another role's session
-- its name only.
SELECT
    format(
        'PostgreSQL process %%s (%%s)',
        blocker.pid,
        concat_ws(
            ', ',
            coalesce(nullif(session.application_name, ''), 'a session without a name'),
            'role ' || session.usename,
            session.state,
            'since ' || to_char(coalesce(session.xact_start, session.state_change) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
        )
    ),
    CASE
        WHEN wanted.locktype = 'advisory' THEN 'work that one process does at a time'
        WHEN wanted.locktype IN ('transactionid', 'tuple') THEN 'rows that another transaction is changing'
        ELSE coalesce(wanted.relation::regclass::text, 'a lock')
    END,
    to_char(coalesce(wanted.waitstart, now()) AT TIME ZONE 'UTC', 'HH24:MI:SS')
FROM unnest(pg_blocking_pids(%s)) AS blocker (pid)
LEFT JOIN pg_stat_activity AS session ON session.pid = blocker.pid
LEFT JOIN LATERAL (
    SELECT locktype, relation, waitstart FROM pg_locks WHERE pid = %s AND NOT granted LIMIT 1
) AS wanted ON true
ORDER BY blocker.pid
