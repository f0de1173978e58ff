-- Searches that were paid so many minutes ago and are not ready.
SELECT search_id, status, paid_at, status_reason
FROM enrichment.search
WHERE tenant_id = %(tenant)s AND status IN ('paid', 'enriching', 'failed')
  AND paid_at < now() - make_interval(mins => %(minutes)s)
ORDER BY paid_at, search_id
