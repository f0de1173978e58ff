UPDATE campaigns.delivery_log AS d SET state = r.state, superseded = r.superseded
FROM leo_row AS r
WHERE d.tenant_id = %(tenant)s AND r.relation = 'delivery_log' AND r.code IS NULL AND d.delivery_id = 'leo-activation:' || r.key
  AND (d.state = 'handed_over' OR d.superseded <> r.superseded)
