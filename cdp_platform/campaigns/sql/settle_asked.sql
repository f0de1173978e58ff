UPDATE campaigns.delivery_log AS d SET state = o.state, reason = o.reason, answer = o.answer, settled_at = now()
FROM unnest(%(ids)s::text[], %(states)s::text[], %(reasons)s::text[], %(answers)s::text[]) AS o (delivery_id, state, reason, answer)
WHERE d.tenant_id = %(tenant)s AND d.delivery_id = o.delivery_id AND d.state = 'unknown'
