-- They were due, so they may have been sent. Those that were unknown already do not go again by themselves.
UPDATE campaigns.delivery_log SET
    state = CASE state WHEN 'reserved' THEN 'handed_over' ELSE state END,
    handed_over_at = coalesce(handed_over_at, now()),
    due_at = NULL
WHERE tenant_id = %(tenant)s AND due_at IS NOT NULL AND (state = 'reserved' AND due_at <= now() OR state = 'unknown')
