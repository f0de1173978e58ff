-- Give events that the spreadsheet does not have the positions after the last, in order of time. EXCEPT reads each event once,
-- also when the planner's statistics are out of date.
WITH waiting AS MATERIALIZED (
    (SELECT 'click' AS event_type, click_event_id AS event_id
     FROM referrals.click_event WHERE tenant_id = %(tenant)s
     EXCEPT
     SELECT 'click', event_id FROM referrals.exported_event
     WHERE tenant_id = %(tenant)s AND spreadsheet_id = %(spreadsheet)s AND event_type = 'click')
    UNION ALL
    (SELECT 'signup', signup_event_id
     FROM referrals.signup_event WHERE tenant_id = %(tenant)s
     EXCEPT
     SELECT 'signup', event_id FROM referrals.exported_event
     WHERE tenant_id = %(tenant)s AND spreadsheet_id = %(spreadsheet)s AND event_type = 'signup')
)
INSERT INTO referrals.exported_event (tenant_id, spreadsheet_id, event_type, event_id, position, export_id)
SELECT %(tenant)s, %(spreadsheet)s, event_type, event_id,
       %(last)s + row_number() OVER (ORDER BY occurred_at, event_type, event_id COLLATE "C"), %(export)s
FROM (
    SELECT w.event_type, w.event_id, coalesce(c.occurred_at, s.occurred_at) AS occurred_at
    FROM waiting AS w
    LEFT JOIN referrals.click_event AS c
        ON w.event_type = 'click' AND c.tenant_id = %(tenant)s AND c.click_event_id = w.event_id
    LEFT JOIN referrals.signup_event AS s
        ON w.event_type = 'signup' AND s.tenant_id = %(tenant)s AND s.signup_event_id = w.event_id
) AS event
ORDER BY occurred_at, event_type, event_id COLLATE "C"
LIMIT %(at_most)s
