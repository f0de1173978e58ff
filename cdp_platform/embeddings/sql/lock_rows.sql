SELECT r.{key}, r.xmin::text::bigint FROM {source} AS r
WHERE r.tenant_id = %(tenant_id)s AND r.{key} = ANY (%(ids)s) FOR NO KEY UPDATE
