UPDATE {table} SET state = %s, reason = %s WHERE tenant_id = %s AND {key} = %s AND state = ANY (%s)
