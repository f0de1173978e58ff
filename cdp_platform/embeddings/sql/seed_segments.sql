WITH open AS (
    SELECT profile_id, segments FROM customers.cdp_profiles WHERE tenant_id = %(tenant_id)s AND closed_at IS NULL
)
SELECT s.segment ->> 'id', count(DISTINCT o.profile_id)
FROM open AS o CROSS JOIN LATERAL jsonb_array_elements(o.segments) AS s (segment)
WHERE s.segment ->> 'id' <> ''
GROUP BY 1
HAVING count(DISTINCT o.profile_id) BETWEEN %(fewest)s AND (SELECT count(*) FROM open) / 2
ORDER BY 1
