SELECT u.ctid FROM embeddings.usage AS u
WHERE u.tenant_id = %(tenant)s AND u.day < (%(until)s AT TIME ZONE 'UTC')::date
