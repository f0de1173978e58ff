-- Different people among the contacts of a search that are not done, by what is known of them.
WITH open AS (
    SELECT DISTINCT c.question_hash FROM enrichment.contact AS c
    WHERE c.tenant_id = %(tenant)s AND c.search_id = %(search)s AND c.outcome IN ('waiting', 'held', 'original')
), known AS (
    SELECT o.question_hash, bool_or(a.state <> 'asked') AS is_answered
    FROM open AS o
    LEFT JOIN enrichment.answer AS a
        ON a.tenant_id = %(tenant)s AND a.provider = %(provider)s AND a.question_hash = o.question_hash
            AND a.personal_emails >= %(personal_emails)s AND a.phones >= %(phones)s
            AND (a.state = 'asked' OR a.expires_at > now())
    GROUP BY 1
)
SELECT count(*), count(*) FILTER (WHERE is_answered), count(*) FILTER (WHERE NOT is_answered),
    count(*) FILTER (WHERE is_answered IS NULL)
FROM known
