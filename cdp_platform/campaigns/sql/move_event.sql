UPDATE campaigns.marketing_event SET
    status = %(after)s, status_reason = %(reason)s, updated_at = now(),
    started_at = CASE WHEN %(after)s = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
    ended_at = CASE WHEN %(after)s IN ('done', 'partly_failed', 'cancelled', 'missed') THEN now() END
WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND status = ANY (%(before)s)
