UPDATE {table} SET claim = %(claim)s, lease_until = statement_timestamp() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND {key} = ANY (ARRAY(
    SELECT {key} FROM {table}
    WHERE tenant_id = %(tenant)s AND (lease_until IS NULL OR lease_until < statement_timestamp()) AND ({waiting})
    ORDER BY {key} LIMIT %(at_most)s FOR UPDATE SKIP LOCKED))
RETURNING {key}::text
