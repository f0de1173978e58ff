-- The keys that nothing of the tenant mentions as a profile's.
SELECT key FROM unnest(%(asked)s::text[]) AS key
WHERE NOT EXISTS (SELECT FROM customers.cdp_profiles AS p WHERE p.tenant_id = %(tenant)s AND p.profile_id = key)
  AND NOT EXISTS (
      SELECT FROM customers.cdp_profiles AS p
      WHERE p.tenant_id = %(tenant)s AND p.root_profile_id = key
        AND p.root_profile_id IS NOT NULL AND p.root_profile_id <> p.profile_id)
  AND NOT EXISTS (SELECT FROM customers.transactions AS t WHERE t.tenant_id = %(tenant)s AND t.profile_id = key)
  AND NOT EXISTS (SELECT FROM ops.rejected_record AS r WHERE r.tenant_id = %(tenant)s AND key = ANY (r.profile_ids))
  AND NOT EXISTS (
      SELECT FROM ops.erased_document AS e
      WHERE e.tenant_id = %(tenant)s AND e.source = 'cdp_profile' AND e.document_key = key)
ORDER BY key
