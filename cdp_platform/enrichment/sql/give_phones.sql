-- Numbers that a call delivered go to all answers about the same person that await numbers, and to contacts that have those.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(people)s) AS g (person_id text, value jsonb, status text, numbers text[])
), answered AS (
    UPDATE enrichment.answer AS a SET
        fields = a.fields || jsonb_build_object('phones', jsonb_build_object('value', g.value, 'status', g.status)),
        phone_numbers = ARRAY(SELECT DISTINCT n FROM unnest(a.phone_numbers || g.numbers) AS n ORDER BY n)
    FROM given AS g
    WHERE a.tenant_id = %(tenant)s AND a.provider = %(provider)s AND a.person_id = g.person_id AND a.state = 'match' AND a.phones
      AND (a.call_id = %(call)s OR NOT a.fields ? 'phones')
    RETURNING a.question_hash, g.value, g.status
)
INSERT INTO enrichment.contact_field (tenant_id, contact_id, field, value, source, provider_status, answered_at)
SELECT DISTINCT ON (c.contact_id) %(tenant)s, c.contact_id, 'phones', a.value, %(provider)s, a.status, now()
FROM answered AS a
JOIN enrichment.contact AS c
    ON c.tenant_id = %(tenant)s AND c.question_hash = a.question_hash AND c.outcome = 'enriched'
JOIN enrichment.search AS s ON s.tenant_id = %(tenant)s AND s.search_id = c.search_id AND s.phones
ON CONFLICT (tenant_id, contact_id, field) DO UPDATE SET
    value = excluded.value, source = excluded.source, provider_status = excluded.provider_status,
    answered_at = excluded.answered_at
