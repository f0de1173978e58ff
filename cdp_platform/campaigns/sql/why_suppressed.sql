SELECT s.channel, s.reason, s.detail, s.since FROM campaigns.address_of AS a
JOIN campaigns.suppression AS s
    ON s.tenant_id = a.tenant_id AND s.channel IN (%(channel)s, '*') AND s.address_hash = a.address_hash
WHERE a.tenant_id = %(tenant)s AND a.profile_id = %(profile)s AND a.kind = %(kind)s ORDER BY s.channel
