INSERT INTO embeddings.text_batch (tenant_id, kind, arrival, entity_ids, not_before, enqueued_at)
SELECT b.tenant_id, b.kind, b.arrival, array_agg(e.entity_id ORDER BY e.place), coalesce(a.until, now()), b.enqueued_at
FROM embeddings.text_batch AS b
CROSS JOIN unnest(b.entity_ids) WITH ORDINALITY AS e (entity_id, place)
JOIN unnest(%(ids)s::text[], %(until)s::timestamptz[]) AS a (entity_id, until) ON a.entity_id = e.entity_id
WHERE b.tenant_id = %(tenant_id)s AND b.batch_id = ANY (%(batches)s) AND b.claim = %(claim)s
GROUP BY b.tenant_id, b.batch_id, a.until ORDER BY b.batch_id
