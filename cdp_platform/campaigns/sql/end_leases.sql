-- Nobody answers for these any more: the dispatcher that handed them over has vanished.
UPDATE campaigns.delivery_log SET state = 'unknown', reason = 'vanished', settled_at = now(), claim = NULL, lease_until = NULL,
    due_at = CASE WHEN handed_over_at + make_interval(secs => %(key_seconds)s) > now() AND message_key IS NOT NULL THEN now() END
WHERE tenant_id = %(tenant)s AND delivery_id = ANY (ARRAY(
    SELECT delivery_id FROM campaigns.delivery_log
    WHERE tenant_id = %(tenant)s AND channel = %(channel)s AND state = 'handed_over'
      AND (lease_until IS NULL OR lease_until < statement_timestamp())
    FOR UPDATE SKIP LOCKED))
