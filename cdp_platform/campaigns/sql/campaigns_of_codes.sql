SELECT code, name, objective, start_at, end_at
FROM campaigns.campaign
WHERE tenant_id = %(tenant)s AND code = ANY (%(keys)s)
FOR UPDATE
