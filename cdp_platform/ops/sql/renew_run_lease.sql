-- A run that was considered dead, as after the sleep of a laptop, gets its lease back.
INSERT INTO ops.run_lease (run_id, command, host, space, pid, process_started_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id) DO UPDATE
SET command = excluded.command, host = excluded.host, space = excluded.space, pid = excluded.pid,
    process_started_at = excluded.process_started_at, renewed_at = clock_timestamp()
