SELECT {key}, state FROM {table} WHERE tenant_id = %s AND state = ANY (%s) ORDER BY {key}
