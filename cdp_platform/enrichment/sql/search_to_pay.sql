-- The search that a payment names, locked; whether it stands paid by this very payment; and whether the payment was given
-- back in full by a refund that came before it.
SELECT
    s.price, s.currency,
    EXISTS (
        SELECT FROM enrichment.payment_event AS e
        WHERE e.tenant_id = s.tenant_id AND e.search_id = s.search_id AND e.outcome = 'paid'
          AND e.payment_intent = %(payment)s
    ),
    EXISTS (
        SELECT FROM enrichment.payment_event AS e
        WHERE e.tenant_id = s.tenant_id AND e.type = 'charge.refunded' AND e.payment_intent = %(payment)s
          AND e.amount >= %(amount)s
    )
FROM enrichment.search AS s
WHERE s.tenant_id = %(tenant)s AND s.search_id = %(search)s
FOR NO KEY UPDATE
