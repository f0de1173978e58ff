WITH was AS (
    SELECT credits_reserved FROM enrichment.provider_call WHERE tenant_id = %(tenant)s AND call_id = %(call)s FOR UPDATE
), booked AS (
    UPDATE enrichment.provider_call AS c SET
        credits = coalesce(c.credits + %(more)s::numeric, c.credits, %(more)s::numeric), credits_reserved = %(still_reserved)s
    FROM was WHERE c.tenant_id = %(tenant)s AND c.call_id = %(call)s
    RETURNING c.search_id, c.spend_day, coalesce(%(more)s::numeric, 0) AS charged,
        c.credits_reserved - was.credits_reserved AS reserved
)
UPDATE enrichment.search AS s SET credits = s.credits + b.charged, credits_reserved = s.credits_reserved + b.reserved
FROM booked AS b WHERE s.tenant_id = %(tenant)s AND s.search_id = b.search_id
RETURNING b.spend_day, b.charged + b.reserved AS change, s.credit_price, s.credit_currency
