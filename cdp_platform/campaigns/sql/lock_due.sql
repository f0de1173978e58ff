-- Locks those that have been due for longest, and passes over those that other dispatchers have locked. With the hashes by which
-- caps know the address and the person.
SELECT d.delivery_id, d.address_hash, ops.address_hash(s.salt, d.profile_id) FROM campaigns.delivery_log AS d
JOIN ops.address_salt AS s ON s.tenant_id = d.tenant_id
WHERE d.tenant_id = %(tenant)s AND d.event_id = %(event)s AND d.state IN ('reserved', 'unknown')
  AND d.due_at <= statement_timestamp() AND (d.lease_until IS NULL OR d.lease_until < statement_timestamp())
ORDER BY d.due_at, d.delivery_id LIMIT %(at_most)s FOR UPDATE OF d SKIP LOCKED
