-- The version of a template with this content: the latest one, a draft that is replaced, or a new one.
WITH latest AS (
    SELECT version, state, content_hash FROM campaigns.message_template
    WHERE tenant_id = %(tenant)s AND template = %(template)s ORDER BY version DESC LIMIT 1
), same AS (
    SELECT version FROM latest WHERE content_hash = %(hash)s AND state <> 'archived'
), written AS (
    INSERT INTO campaigns.message_template
        (tenant_id, template, version, channel_kind, subject, body_text, body_html, content_hash)
    SELECT %(tenant)s, %(template)s,
        coalesce((SELECT version + (state <> 'draft')::int FROM latest), 1), %(kind)s, %(subject)s, %(text)s, %(html)s, %(hash)s
    WHERE NOT EXISTS (SELECT FROM same)
    ON CONFLICT (tenant_id, template, version) DO UPDATE
    SET channel_kind = excluded.channel_kind, subject = excluded.subject, body_text = excluded.body_text,
        body_html = excluded.body_html, content_hash = excluded.content_hash, created_at = now()
    RETURNING version
)
SELECT version FROM same UNION ALL SELECT version FROM written
