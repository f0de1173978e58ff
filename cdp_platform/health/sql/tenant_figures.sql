-- What a tenant's tables say of its sources, queues, spending and effects now: (name, room, subject, value). Every part reads an
-- index or a small table. Of ledgers, what is settled well is not counted: that would read all of them.
SELECT 'read_age', 'customers', s.source,
    extract(epoch FROM now() - coalesce(w.last_success_at, t.created_at))::float8
FROM ops.tenant AS t
CROSS JOIN unnest(%(sources)s::text[]) AS s (source)
LEFT JOIN ops.sync_watermark AS w ON w.tenant_id = t.tenant_id AND w.source = s.source
WHERE t.tenant_id = %(tenant)s AND t.arango_database IS NOT NULL
UNION ALL
SELECT 'read_age', 'referrals', source, extract(epoch FROM now() - last_success_at)::float8
FROM ops.sync_watermark WHERE tenant_id = %(tenant)s AND source LIKE 'tracker.%%' AND last_success_at IS NOT NULL
UNION ALL
SELECT 'rejected', CASE
        WHEN source LIKE 'cdp\_%%' THEN 'customers'
        WHEN source LIKE 'catalog:%%' THEN 'catalog'
        WHEN source LIKE 'tracker.%%' THEN 'referrals'
        WHEN source LIKE 'enrichment\_%%' THEN 'enrichment'
        ELSE 'campaigns'
    END, source, count(*) FROM ops.rejected_record
WHERE tenant_id = %(tenant)s AND resolved_at IS NULL GROUP BY source
UNION ALL
SELECT 'failed_texts', 'embeddings', status, count(*) FROM embeddings.embedding_job
WHERE tenant_id = %(tenant)s AND status IN ('failed', 'dead') GROUP BY status
UNION ALL
SELECT f.name, 'embeddings', q.kind, f.value
FROM (
    SELECT kind, sum(cardinality(entity_ids)) AS texts, extract(epoch FROM now() - min(enqueued_at)) AS age
    FROM embeddings.text_batch WHERE tenant_id = %(tenant)s GROUP BY kind
) AS q
CROSS JOIN LATERAL (VALUES ('queued', q.texts::float8), ('queue_age', q.age::float8)) AS f (name, value)
UNION ALL
SELECT f.name, 'campaigns', 'deliveries', f.value
FROM (
    SELECT count(*) AS messages, extract(epoch FROM now() - min(due_at)) AS age
    FROM campaigns.delivery_log WHERE tenant_id = %(tenant)s AND state IN ('reserved', 'unknown') AND state = 'reserved' AND due_at <= now()
) AS q
CROSS JOIN LATERAL (VALUES ('queued', q.messages::float8), ('queue_age', q.age::float8)) AS f (name, value)
WHERE q.messages > 0
UNION ALL
SELECT f.name, 'enrichment', 'searches', f.value
FROM (
    SELECT count(*) AS searches, extract(epoch FROM now() - min(paid_at)) AS age
    FROM enrichment.search WHERE tenant_id = %(tenant)s AND status IN ('paid', 'enriching')
) AS q
CROSS JOIN LATERAL (VALUES ('queued', q.searches::float8), ('queue_age', q.age::float8)) AS f (name, value)
WHERE q.searches > 0
UNION ALL
SELECT 'spent', 'embeddings', unit, sum(amount)::float8 FROM embeddings.spend
WHERE tenant_id = %(tenant)s AND day = (now() AT TIME ZONE 'UTC')::date GROUP BY unit
UNION ALL
SELECT 'spent', 'enrichment', unit, sum(amount)::float8 FROM enrichment.spend
WHERE tenant_id = %(tenant)s AND day = (now() AT TIME ZONE 'UTC')::date GROUP BY unit
UNION ALL
SELECT 'effects', 'campaigns', state::text, count(*) FROM campaigns.delivery_log
WHERE tenant_id = %(tenant)s AND state IN ('handed_over', 'unknown', 'failed') GROUP BY state
UNION ALL
SELECT 'effects', 'campaigns', 'reserved', count(*) FROM campaigns.delivery_log
WHERE tenant_id = %(tenant)s AND state IN ('reserved', 'unknown') AND state = 'reserved' HAVING count(*) > 0
UNION ALL
SELECT 'effects', 'enrichment', state::text, count(*) FROM enrichment.provider_call
WHERE tenant_id = %(tenant)s AND state::text IN ('reserved', 'handed_over', 'unknown') GROUP BY state
UNION ALL
SELECT 'effects', 'referrals', state::text, count(*) FROM referrals.sheet_export
WHERE tenant_id = %(tenant)s AND state IN ('reserved', 'handed_over', 'unknown') GROUP BY state
