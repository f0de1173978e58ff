-- Mark every quarter of an hour that has an event.
INSERT INTO referrals.touched_quarter (tenant_id, starts_at)
SELECT DISTINCT tenant_id, date_bin('15 minutes', occurred_at, 'epoch') FROM (
    SELECT tenant_id, occurred_at FROM referrals.click_event WHERE tenant_id = %(tenant)s
    UNION ALL
    SELECT tenant_id, occurred_at FROM referrals.signup_event WHERE tenant_id = %(tenant)s
) AS event
