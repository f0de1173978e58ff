SELECT s.ctid FROM enrichment.spend AS s
WHERE s.tenant_id = %(tenant)s AND s.day < (%(until)s AT TIME ZONE 'UTC')::date
