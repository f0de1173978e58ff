-- Questions of a search's open contacts that have no fresh answer and that nobody asks now; of equal contacts the first one's.
-- LIMIT 1 keeps each look a look into an index, whatever the planner takes a table's size for.
SELECT DISTINCT ON (o.question_hash) o.question_hash, o.question, o.contact_id, coalesce((
    SELECT bool_or(p.state = 'unknown' OR p.state = 'confirmed' AND p.reason = %(lost)s)
    FROM enrichment.call_question AS q
    CROSS JOIN LATERAL (
        SELECT c.state, c.reason FROM enrichment.provider_call AS c
        WHERE c.tenant_id = q.tenant_id AND c.call_id = q.call_id LIMIT 1) AS p
    WHERE q.tenant_id = %(tenant)s AND q.question_hash = o.question_hash), false) AS was_lost
FROM (
    SELECT c.question_hash, c.question, c.contact_id FROM (
        -- In this order first, so that no more contacts are looked at than are wanted.
        SELECT question_hash, question, contact_id FROM enrichment.contact
        WHERE tenant_id = %(tenant)s AND search_id = %(search)s AND outcome IN ('waiting', 'original') {among}
        ORDER BY contact_id OFFSET 0) AS c
    LEFT JOIN LATERAL (
        SELECT true AS is_known FROM enrichment.answer AS a
        WHERE a.tenant_id = %(tenant)s AND a.provider = %(provider)s AND a.question_hash = c.question_hash
          AND a.personal_emails >= %(personal_emails)s AND a.phones >= %(phones)s
          AND (a.state = 'asked' OR a.expires_at > now()) LIMIT 1) AS answer ON true
    WHERE answer.is_known IS NULL
    ORDER BY c.contact_id LIMIT %(window)s) AS o
ORDER BY o.question_hash, o.contact_id
