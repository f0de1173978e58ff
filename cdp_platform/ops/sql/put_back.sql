UPDATE {table} SET claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant)s AND {key} = ANY (ARRAY(
    SELECT {key} FROM {table} WHERE tenant_id = %(tenant)s AND claim = %(claim)s FOR UPDATE SKIP LOCKED))
