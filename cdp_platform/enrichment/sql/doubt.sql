-- Calls whose charge nobody knows, the most that they can have cost, and contacts that wait for a decision.
SELECT (SELECT count(*) FROM enrichment.provider_call WHERE tenant_id = %(tenant)s AND state::text = 'unknown') AS calls,
    (SELECT coalesce(sum(credits_reserved), 0) FROM enrichment.provider_call
     WHERE tenant_id = %(tenant)s AND state::text = 'unknown') AS credits,
    (SELECT coalesce(sum(held), 0)::bigint FROM enrichment.search WHERE tenant_id = %(tenant)s) AS held
