-- A click that comes after its signup was erased is of the same person, so it is erased too.
UPDATE stage_click_event AS s SET erased_at = t.erased_at, {emptied}
FROM referrals.signup_event AS t
WHERE t.tenant_id = %(tenant)s AND t.click_event_id = s.click_event_id AND t.erased_at IS NOT NULL
  AND s.erased_at IS NULL
