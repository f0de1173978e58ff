SELECT count(*), count(DISTINCT {key}), count(*) FILTER (WHERE {key} = '')
FROM {table} WHERE tenant_id = %(tenant)s
