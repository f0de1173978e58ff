SELECT ops.address_hash(s.salt, g.address)
FROM (SELECT ops.salt_of(%(tenant)s) AS salt) AS s, unnest(%(addresses)s::text[]) WITH ORDINALITY AS g (address, place)
ORDER BY g.place
