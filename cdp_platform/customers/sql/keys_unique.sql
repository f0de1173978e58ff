SELECT count(*) = count(DISTINCT {key}) FROM {table} WHERE tenant_id = %(tenant)s
