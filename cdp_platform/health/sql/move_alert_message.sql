UPDATE ops.alert_message
SET state = %(state)s::text, reason = %(reason)s,
    settled_at = CASE WHEN %(state)s::text IN ('confirmed', 'failed', 'unknown') THEN now() END
WHERE message_id = %(message)s AND settled_at IS NULL
