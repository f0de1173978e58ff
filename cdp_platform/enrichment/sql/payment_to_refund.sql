-- The payment that a refund gives back, unless it was given back before: its search, its id, and whether no run took the
-- search up. A refund that names no payment gives back the one by which its search stands paid.
SELECT p.search_id, p.payment_intent, s.started_at IS NULL
FROM enrichment.payment_event AS p
JOIN enrichment.search AS s ON s.tenant_id = p.tenant_id AND s.search_id = p.search_id
WHERE p.tenant_id = %(tenant)s AND p.outcome = 'paid'
  AND (p.payment_intent = %(payment)s OR %(payment)s::text IS NULL AND p.search_id = %(search)s)
  AND NOT EXISTS (
    SELECT FROM enrichment.payment_event AS r
    WHERE r.tenant_id = p.tenant_id AND r.outcome = 'refunded' AND r.payment_intent = p.payment_intent
  )
FOR NO KEY UPDATE OF s
