-- Searches that have open contacts go on later; all of them, or one.
UPDATE enrichment.search SET status_reason = %(reason)s, not_before = now() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND status = 'enriching' AND waiting + original > 0
  AND (%(search)s::uuid IS NULL OR search_id = %(search)s)
