-- What was reserved may have been sent, too.
WITH open AS (
    SELECT call_id FROM enrichment.provider_call WHERE tenant_id = %(tenant)s AND state IN ('reserved', 'handed_over') FOR UPDATE
),
moved AS (
    UPDATE enrichment.provider_call AS c SET state = 'handed_over', handed_over_at = coalesce(handed_over_at, now())
    FROM open WHERE c.tenant_id = %(tenant)s AND c.call_id = open.call_id
)
SELECT call_id FROM open
