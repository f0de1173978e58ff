-- Forget the touched quarters of an hour of these local days; the end is not among them.
DELETE FROM referrals.touched_quarter
WHERE tenant_id = %(tenant)s
  AND (starts_at AT TIME ZONE %(zone)s)::date >= %(first)s AND (starts_at AT TIME ZONE %(zone)s)::date < %(end)s
