-- The time in which the server itself was down does not count as silence of a process.
SELECT
    run_id, command, host, space, pid, process_started_at,
    extract(epoch FROM clock_timestamp() - greatest(renewed_at, pg_postmaster_start_time()))::float8 AS silent_seconds
FROM ops.run_lease
