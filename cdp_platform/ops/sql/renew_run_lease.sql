UPDATE ops.run_lease SET renewed_at = clock_timestamp() WHERE run_id = %s AND space = %s AND pid = %s
