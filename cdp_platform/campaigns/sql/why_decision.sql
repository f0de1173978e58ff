-- The person, and who has the same address in the segment: of those, one gets the message.
WITH people AS MATERIALIZED (
    SELECT %(profile)s AS profile_id
    UNION
    SELECT segment.profile_id FROM ({people}) AS segment
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = segment.profile_id
    WHERE p.{address} = (
        SELECT o.{address} FROM customers.cdp_profiles AS o WHERE o.tenant_id = %(tenant)s AND o.profile_id = %(profile)s)
), {decision}
SELECT d.reason, d.zone, d.source, d.due_at,
    ARRAY(SELECT segment.profile_id FROM ({people}) AS segment WHERE segment.profile_id = %(profile)s) <> '{{}}' AS is_in_segment
FROM decided AS d WHERE d.profile_id = %(profile)s
