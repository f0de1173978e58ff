UPDATE ops.alert SET told_at = now(), told_count = count, end_told = state = 'ended' WHERE alert_id = ANY (%s)
