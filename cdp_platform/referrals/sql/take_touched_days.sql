-- Forget which quarters of an hour were touched, and return the local days that they belong to, as half-open ranges.
WITH touched AS (
    DELETE FROM referrals.touched_quarter WHERE tenant_id = %(tenant)s
    RETURNING (starts_at AT TIME ZONE %(zone)s)::date AS day
),
stretch AS (SELECT unnest(range_agg(daterange(day, day + 1))) AS days FROM touched)
SELECT lower(days), upper(days) FROM stretch
