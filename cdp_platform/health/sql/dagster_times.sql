-- Of Dagster's own database. Its columns without a time zone are in that of the server, as this session is.
SELECT 'oldest_queued', '', extract(epoch FROM localtimestamp - min(create_timestamp))::float8
FROM runs WHERE status = 'QUEUED' HAVING count(*) > 0
UNION ALL
SELECT 'wait', s.name, s.value
FROM (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY w.seconds) AS median, max(w.seconds) AS greatest
    FROM (
        SELECT greatest(0, start_time - extract(epoch FROM create_timestamp::timestamptz))::float8 AS seconds
        FROM runs WHERE start_time > extract(epoch FROM now()) - 3600
    ) AS w
) AS f
CROSS JOIN LATERAL (VALUES ('median', f.median), ('max', f.greatest)) AS s (name, value)
WHERE s.value IS NOT NULL
UNION ALL
SELECT 'heartbeat', daemon_type, extract(epoch FROM localtimestamp - timestamp)::float8 FROM daemon_heartbeats
