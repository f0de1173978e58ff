-- Decides which rows are left out, and the states of deliveries.
UPDATE leo_row AS r
SET code = CASE r.relation
        WHEN 'message_templates' THEN
            CASE WHEN coalesce(r.document ->> 'template_engine', 'jinja2') <> 'jinja2' THEN 'engine' END
        WHEN 'delivery_log' THEN CASE WHEN event.key IS NULL THEN 'no_event' END
        WHEN 'activation_outcomes' THEN 'no_place'
        ELSE CASE WHEN p.profile_id IS NULL THEN 'no_profile' END
    END,
    profile_id = p.profile_id,
    state = moved.state,
    reason = moved.reason,
    superseded = numbered.later > 1 AND moved.state = 'failed',
    remark = CASE
        WHEN r.relation <> 'delivery_log' THEN r.remark
        WHEN moved.reason = 'no_outcome' THEN 'delivery_status'
        WHEN p.profile_id IS NULL THEN 'profile'
        ELSE r.remark
    END
FROM leo_row AS self
JOIN (
    SELECT ctid AS id, row_number() OVER (
        PARTITION BY relation, event_id, profile_id, channel ORDER BY (document ->> 'delivery_id')::bigint DESC) AS later
    FROM leo_row
) AS numbered ON numbered.id = self.ctid
LEFT JOIN leo_row AS event ON event.relation = 'marketing_event' AND event.code IS NULL AND event.event_id = self.event_id
LEFT JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = self.profile_id
CROSS JOIN LATERAL (SELECT lower(trim(self.document ->> 'delivery_status'))) AS said (word)
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN said.word IN ('sent', 'delivered', 'success', 'completed', 'opened', 'clicked') THEN 'confirmed'
        WHEN said.word IN ('skipped', 'suppressed', 'pending', 'queued', 'planned', 'scheduled', 'processing') THEN 'excluded'
        ELSE 'failed'
    END::ops.effect_state, CASE
        WHEN said.word IN ('sent', 'delivered', 'success', 'completed', 'opened', 'clicked') THEN NULL
        WHEN said.word IN ('skipped', 'suppressed') THEN 'skipped'
        WHEN said.word IN ('pending', 'queued', 'planned', 'scheduled', 'processing') THEN 'not_sent'
        WHEN said.word IN ('failed', 'error', 'bounced', 'rejected') THEN 'refused'
        ELSE 'no_outcome'
    END
) AS moved (state, reason)
WHERE r.ctid = self.ctid AND r.relation IN (
    'message_templates', 'segment_snapshot_member', 'delivery_log', 'consent_management', 'activation_outcomes')
