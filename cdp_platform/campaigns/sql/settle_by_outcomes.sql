-- An unknown delivery is settled by what a provider said of it: only what arrived can be complained about or opted out of.
WITH evidence AS (
    SELECT d.delivery_id, bool_and(o.kind = 'bounced') AS bounced, max(o.status_code) AS code,
        bool_or(o.status_code = ANY (%(bad_address)s::text[])) AS bad_address
    FROM campaigns.delivery_log AS d
    JOIN campaigns.delivery_outcome AS o ON o.tenant_id = d.tenant_id AND o.delivery_id = d.delivery_id
    WHERE d.tenant_id = %(tenant)s AND d.state = 'unknown'
    GROUP BY d.delivery_id
)
UPDATE campaigns.delivery_log AS d SET
    state = CASE WHEN e.bounced THEN 'failed' ELSE 'confirmed' END,
    reason = CASE WHEN NOT e.bounced THEN NULL WHEN e.bad_address THEN 'bad_address' ELSE 'refused' END,
    answer = coalesce(e.code, d.answer), settled_at = now(), claim = NULL, lease_until = NULL
FROM evidence AS e
WHERE d.tenant_id = %(tenant)s AND d.delivery_id = e.delivery_id AND d.state = 'unknown'
