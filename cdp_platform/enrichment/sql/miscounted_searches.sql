-- Searches under way, or ended a day ago at most, whose counts are not those of their contacts.
SELECT s.search_id
FROM enrichment.search AS s
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE c.outcome = 'waiting'), count(*) FILTER (WHERE c.outcome = 'enriched'),
        count(*) FILTER (WHERE c.outcome = 'no_match'), count(*) FILTER (WHERE c.outcome = 'unusable'),
        count(*) FILTER (WHERE c.outcome = 'held'), count(*) FILTER (WHERE c.outcome = 'original')
    FROM enrichment.contact AS c WHERE c.tenant_id = s.tenant_id AND c.search_id = s.search_id
) AS n (waiting, enriched, no_match, unusable, held, original)
WHERE s.tenant_id = %(tenant)s AND (s.status IN ('paid', 'enriching') OR s.ended_at > now() - interval '1 day')
  AND (s.waiting, s.enriched, s.no_match, s.unusable, s.held, s.original)
      <> (n.waiting, n.enriched, n.no_match, n.unusable, n.held, n.original)
ORDER BY s.search_id
