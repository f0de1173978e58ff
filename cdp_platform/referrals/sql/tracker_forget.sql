-- Erased events stay erased, although the tracker may still have what they said of a person.
UPDATE {stage} AS s SET erased_at = t.erased_at, {emptied}
FROM {target} AS t
WHERE t.tenant_id = %(tenant)s AND t.{key} = s.{key} AND t.erased_at IS NOT NULL
