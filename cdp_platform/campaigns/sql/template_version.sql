SELECT template, version, channel_kind, state, subject, body_text, body_html, sent_text, sent_html
FROM campaigns.message_template
WHERE tenant_id = %(tenant)s AND template = %(template)s AND version = %(version)s
