UPDATE leo_row AS r SET code = 'taken'
FROM campaigns.marketing_event AS e
WHERE r.relation = 'marketing_event' AND e.tenant_id = %(tenant)s AND e.event_id = r.event_id AND e.origin <> 'leo-activation'
