UPDATE campaigns.message_template SET state = 'approved', approved_at = now(), sent_text = %(text)s, sent_html = %(html)s
WHERE tenant_id = %(tenant)s AND template = %(template)s AND version = %(version)s AND state = 'draft'
