UPDATE campaigns.delivery_log AS d SET state = o.state, reason = 'resolved', answer = %(evidence)s, settled_at = now(),
    claim = NULL, lease_until = NULL
FROM unnest(%(keys)s::text[], %(states)s::text[]) AS o (key, state)
WHERE d.tenant_id = %(tenant)s AND d.message_key = o.key AND d.state = 'unknown'
RETURNING d.event_id
