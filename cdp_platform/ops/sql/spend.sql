SELECT amount FROM {table}
WHERE tenant_id = %(tenant)s AND account = %(account)s AND day = %(day)s AND unit = %(unit)s
