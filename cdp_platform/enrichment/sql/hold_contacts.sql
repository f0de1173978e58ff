-- The answer of a call was lost: contacts of all searches that wait for it are held, and say what ends that.
UPDATE enrichment.contact AS c SET outcome = 'held', reason = why.reason, outcome_at = now()
FROM enrichment.answer AS a, enrichment.search AS s, enrichment.provider_call AS p, LATERAL (SELECT format(
    CASE p.state WHEN 'unknown' THEN 'the answer of its call was lost, and nobody knows whether it was charged'
        ELSE 'its call was charged, and the answer was lost' END
    || '; `cdp enrichment resolve %%s` ends that', p.call_id)) AS why (reason)
WHERE a.tenant_id = %(tenant)s AND a.call_id = %(call)s AND a.state = 'asked'
  AND p.tenant_id = %(tenant)s AND p.call_id = a.call_id
  AND c.tenant_id = %(tenant)s AND c.question_hash = a.question_hash AND c.outcome IN ('waiting', 'original', 'held')
  AND c.reason IS DISTINCT FROM why.reason
  AND s.tenant_id = %(tenant)s AND s.search_id = c.search_id AND s.status = 'enriching'
  AND a.personal_emails >= s.personal_emails AND a.phones >= s.phones
