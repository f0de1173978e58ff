-- Something changed that searches under way may wait for: they are looked at again at once.
UPDATE enrichment.search SET status_reason = NULL, not_before = NULL
WHERE tenant_id = %s AND status = 'enriching' AND not_before IS NOT NULL
