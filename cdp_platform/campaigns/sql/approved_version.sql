SELECT max(version) FROM campaigns.message_template WHERE tenant_id = %s AND template = %s AND state = 'approved'
