-- Open contacts of searches under way get the newest fresh answer to their question, each in the fields that its search
-- asked for.
WITH found AS MATERIALIZED (
    SELECT c.contact_id, s.personal_emails, s.phones, a.state, a.provider, a.fields, a.answered_at
    FROM enrichment.contact AS c
    JOIN enrichment.search AS s ON s.tenant_id = c.tenant_id AND s.search_id = c.search_id AND s.status = 'enriching'
    CROSS JOIN LATERAL (
        SELECT f.* FROM enrichment.answer AS f
        WHERE f.tenant_id = c.tenant_id AND f.provider = %(provider)s AND f.question_hash = c.question_hash
          AND f.personal_emails >= s.personal_emails AND f.phones >= s.phones AND f.expires_at > now()
        ORDER BY f.answered_at DESC LIMIT 1) AS a
    WHERE c.tenant_id = %(tenant)s AND c.outcome IN ('waiting', 'held', 'original') {among}
), fields AS (
    INSERT INTO enrichment.contact_field (tenant_id, contact_id, field, value, source, provider_status, answered_at)
    SELECT %(tenant)s, f.contact_id, each.key, each.value -> 'value', f.provider, each.value ->> 'status', f.answered_at
    FROM found AS f CROSS JOIN LATERAL jsonb_each(f.fields) AS each
    WHERE (f.phones OR each.key <> 'phones') AND (f.personal_emails OR each.key <> 'personal_emails')
    ON CONFLICT (tenant_id, contact_id, field) DO UPDATE SET
        value = excluded.value, source = excluded.source, provider_status = excluded.provider_status,
        answered_at = excluded.answered_at
), moved AS (
    UPDATE enrichment.contact AS c SET
        outcome = CASE f.state WHEN 'match' THEN 'enriched' ELSE 'no_match' END, reason = NULL, outcome_at = now()
    FROM found AS f WHERE c.tenant_id = %(tenant)s AND c.contact_id = f.contact_id
    RETURNING c.outcome
)
SELECT outcome, count(*) FROM moved GROUP BY outcome
