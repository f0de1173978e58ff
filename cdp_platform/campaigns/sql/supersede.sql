UPDATE campaigns.delivery_log AS d SET superseded = true
FROM campaigns.delivery_log AS later
WHERE d.tenant_id = %(tenant)s AND d.event_id = %(event)s AND d.state = 'failed' AND NOT d.superseded
  AND later.tenant_id = d.tenant_id AND later.event_id = d.event_id AND later.profile_id = d.profile_id
  AND later.channel = d.channel AND later.step = d.step + 1
