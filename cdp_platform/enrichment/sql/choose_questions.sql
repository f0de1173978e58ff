-- Questions of a search's open contacts that have no fresh answer and that nobody asks now; of equal contacts the first one's.
SELECT DISTINCT ON (o.question_hash) o.question_hash, o.question, o.contact_id, EXISTS (
    SELECT FROM enrichment.call_question AS q
    JOIN enrichment.provider_call AS p ON p.tenant_id = q.tenant_id AND p.call_id = q.call_id
    WHERE q.tenant_id = %(tenant)s AND q.question_hash = o.question_hash AND (p.state = 'unknown' OR p.state = 'confirmed' AND p.reason = %(lost)s)) AS was_lost
FROM (
    SELECT c.question_hash, c.question, c.contact_id FROM enrichment.contact AS c
    WHERE c.tenant_id = %(tenant)s AND c.search_id = %(search)s AND c.outcome IN ('waiting', 'original') {among}
      AND NOT EXISTS (
        SELECT FROM enrichment.answer AS a
        WHERE a.tenant_id = %(tenant)s AND a.provider = %(provider)s AND a.question_hash = c.question_hash
          AND a.personal_emails >= %(personal_emails)s AND a.phones >= %(phones)s
          AND (a.state = 'asked' OR a.expires_at > now()))
    ORDER BY c.contact_id LIMIT %(window)s) AS o
ORDER BY o.question_hash, o.contact_id
