SELECT template, version, channel_kind, state, subject, body_text, body_html, sent_text, sent_html
FROM campaigns.message_template
WHERE tenant_id = %(tenant)s AND template = %(template)s AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
ORDER BY version DESC LIMIT 1
