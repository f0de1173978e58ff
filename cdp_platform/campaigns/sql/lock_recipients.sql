SELECT FROM campaigns.recipient
WHERE tenant_id = %(tenant)s AND channel = '*' AND address_hash = ANY (%(hashes)s)
ORDER BY address_hash FOR UPDATE
