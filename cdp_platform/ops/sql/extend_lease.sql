-- Rows that somebody has locked are being written at this moment; the next heartbeat has them, if they are still claimed.
UPDATE {table} SET lease_until = statement_timestamp() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND {key} = ANY (ARRAY(
    SELECT {key} FROM {table} WHERE tenant_id = %(tenant)s AND claim = %(claim)s FOR UPDATE SKIP LOCKED))
