-- Those whose key does not go again. A provider may need a moment until it knows a key.
SELECT delivery_id, message_key FROM campaigns.delivery_log
WHERE tenant_id = %(tenant)s AND channel = %(channel)s AND state = 'unknown' AND due_at IS NULL AND message_key IS NOT NULL
  AND handed_over_at < now() - interval '1 minute'
ORDER BY handed_over_at LIMIT %(at_most)s
