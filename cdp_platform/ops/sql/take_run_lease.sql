INSERT INTO ops.run_lease (run_id, command, host, space, pid, process_started_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id) DO UPDATE
SET command = excluded.command, host = excluded.host, space = excluded.space, pid = excluded.pid,
    process_started_at = excluded.process_started_at, renewed_at = clock_timestamp()
