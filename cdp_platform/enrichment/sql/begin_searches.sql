-- Searches that are paid begin, at the present price of a credit; one that is tried again keeps its price.
WITH priced AS (
    UPDATE enrichment.search SET credit_price = %(price)s, credit_currency = %(currency)s
    WHERE tenant_id = %(tenant)s AND status = 'paid' AND started_at IS NULL
)
SELECT search_id FROM enrichment.search WHERE tenant_id = %(tenant)s AND status = 'paid' ORDER BY search_id
