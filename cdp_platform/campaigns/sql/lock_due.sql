-- What other dispatchers have locked is theirs. Of those that wait, the longest due come first.
SELECT delivery_id, profile_id, address_hash FROM campaigns.delivery_log
WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND state IN ('reserved', 'unknown')
  AND due_at <= statement_timestamp() AND (lease_until IS NULL OR lease_until < statement_timestamp())
ORDER BY due_at, delivery_id LIMIT %(at_most)s FOR UPDATE SKIP LOCKED
