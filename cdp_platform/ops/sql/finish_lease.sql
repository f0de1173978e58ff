UPDATE {table} SET claim = NULL, lease_until = NULL
WHERE tenant_id = %(tenant)s AND claim = %(claim)s AND {key}::text = ANY (%(keys)s)
RETURNING {key}::text
