-- Templates, named by channel and name. An approved one is a draft here, since the foot of a message is not the same.
INSERT INTO campaigns.message_template
    (tenant_id, template, version, channel_kind, subject, body_text, body_html, state, content_hash)
SELECT DISTINCT ON (template, version)
    %(tenant)s, template, version, CASE WHEN channel = 'email' THEN 'email' ELSE 'webhook' END,
    CASE WHEN channel = 'email' THEN document ->> 'subject_template' END,
    CASE WHEN NOT is_html THEN document ->> 'body_template' END, CASE WHEN is_html THEN document ->> 'body_template' END,
    CASE WHEN document ->> 'status' = 'archived' THEN 'archived' ELSE 'draft' END,
    sha256(convert_to(concat_ws(chr(10), document ->> 'subject_template', document ->> 'body_template'), 'UTF8'))
FROM leo_row
CROSS JOIN LATERAL (
    SELECT campaigns.as_id(channel || '.' || (document ->> 'template_name'), 63),
           greatest((document ->> 'version')::int, 1),
           channel = 'email' AND document ->> 'body_template' ~ '<[A-Za-z!/]'
) AS made (template, version, is_html)
WHERE relation = 'message_templates' AND code IS NULL
ORDER BY template, version, document ->> 'updated_at' DESC
ON CONFLICT DO NOTHING
