-- Live rows whose item is not in the feed. A rejected item keeps its row, unless its code is one of `disowned`.
UPDATE {table} AS t SET removed_at = now(), generation = %(generation)s, synced_at = now()
WHERE t.tenant_id = %(tenant)s AND t.organization_id = %(organization)s AND t.removed_at IS NULL
  AND NOT EXISTS (
      SELECT FROM stage_entry AS e
      WHERE e.is_group = %(is_group)s AND e.item_id = t.{key} AND (e.code IS NULL OR e.code <> ALL (%(disowned)s))
  )
