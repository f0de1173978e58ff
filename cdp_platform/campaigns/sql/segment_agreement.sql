-- Open profiles only: the CDP has no others in a segment.
WITH computed AS ({computed}), members AS ({members})
SELECT count(*) FILTER (WHERE c.profile_id IS NOT NULL), count(*) FILTER (WHERE m.profile_id IS NOT NULL),
       count(*) FILTER (WHERE c.profile_id IS NOT NULL AND m.profile_id IS NOT NULL)
FROM customers.cdp_profiles AS p
LEFT JOIN computed AS c USING (profile_id)
LEFT JOIN members AS m USING (profile_id)
WHERE p.tenant_id = %(tenant)s AND p.closed_at IS NULL
