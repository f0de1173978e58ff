-- Rows that were written in this transaction have the revision that they were read with already.
UPDATE {table} AS t SET revision = s.revision
FROM source_key AS s
WHERE t.tenant_id = %(tenant)s AND t.{key} = s.key AND s.key = ANY (%(keys)s)
  AND t.revision IS DISTINCT FROM s.revision AND t.synced_at < now()
