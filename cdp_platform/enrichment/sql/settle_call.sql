UPDATE enrichment.provider_call SET
    state = %(state)s, reason = %(reason)s, request_id = coalesce(%(request_id)s, request_id),
    phones_state = coalesce(%(phones_state)s, phones_state), settled_at = clock_timestamp(), claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant)s AND call_id = %(call)s AND state::text = ANY (%(before)s)
