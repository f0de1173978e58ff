SELECT owner, state, reason, created_at FROM ops.alert_message
WHERE settled_at IS NULL OR state = 'unknown' AND settled_at > now() - interval '1 day'
ORDER BY created_at
