WITH answered AS (
    SELECT c.contact_id, c.email, max(f.answered_at) AS answered_at,
        max(f.value #>> '{}') FILTER (WHERE f.field = 'title') AS title,
        max(f.value #>> '{}') FILTER (WHERE f.field = 'company') AS company,
        max(f.value #>> '{}') FILTER (WHERE f.field = 'industry') AS industry,
        max(f.value #>> '{}') FILTER (WHERE f.field = 'seniority') AS seniority
    FROM enrichment.contact AS c
    JOIN enrichment.contact_field AS f ON f.tenant_id = %(tenant)s AND f.contact_id = c.contact_id
    WHERE c.tenant_id = %(tenant)s AND c.outcome = 'enriched' AND c.email IS NOT NULL
      AND f.field IN ('title', 'company', 'industry', 'seniority')
    GROUP BY c.contact_id, c.email
), newest AS MATERIALIZED (
    SELECT DISTINCT ON (email) * FROM answered ORDER BY email, answered_at DESC, contact_id
), matching AS (
    SELECT newest.*, p.profile_id, p.closed_reason, p.root_profile_id FROM newest
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.primary_email = newest.email
    UNION ALL
    -- Few profiles have further addresses: a partial index finds them.
    SELECT newest.*, p.profile_id, p.closed_reason, p.root_profile_id
    FROM customers.cdp_profiles AS p, jsonb_array_elements_text(p.secondary_emails) AS other (email)
    JOIN newest ON newest.email = other.email
    WHERE p.tenant_id = %(tenant)s AND p.secondary_emails <> '[]'
), wanted AS (
    -- A person with several addresses has the newest of their answers.
    SELECT DISTINCT ON (person.profile_id) person.profile_id, title, company, industry, seniority, answered_at
    FROM matching, LATERAL (
        SELECT CASE closed_reason WHEN 'merged' THEN root_profile_id ELSE profile_id END) AS person (profile_id)
    ORDER BY person.profile_id, answered_at DESC, contact_id
), changed AS (
    -- A row that a sync holds is left to the next time: who waits for nobody is in no deadlock.
    SELECT p.profile_id FROM wanted
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = wanted.profile_id
    WHERE p.closed_at IS NULL
      AND (p.enriched_title, p.enriched_company, p.enriched_industry, p.enriched_seniority, p.enriched_at)
          IS DISTINCT FROM (wanted.title, wanted.company, wanted.industry, wanted.seniority, wanted.answered_at)
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE customers.cdp_profiles AS p
SET enriched_title = wanted.title, enriched_company = wanted.company, enriched_industry = wanted.industry,
    enriched_seniority = wanted.seniority, enriched_at = wanted.answered_at
FROM changed JOIN wanted USING (profile_id)
WHERE p.tenant_id = %(tenant)s AND p.profile_id = changed.profile_id
