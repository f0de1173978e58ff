-- Searches of which everything has arrived or is final become ready.
SELECT count(*) FILTER (WHERE enrichment.move_search(s.tenant_id, s.search_id, 'enriching', 'ready'))
FROM enrichment.search AS s
WHERE s.tenant_id = %(tenant)s AND s.status = 'enriching' AND s.waiting + s.held + s.original = 0 AND NOT EXISTS (
    SELECT FROM enrichment.provider_call AS c
    WHERE c.tenant_id = s.tenant_id AND c.search_id = s.search_id
      AND (c.state::text IN ('reserved', 'handed_over') OR c.phones_state = 'pending'))
