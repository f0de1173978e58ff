SELECT stamp, document_key FROM ops.sync_watermark
WHERE tenant_id = %(tenant)s AND source = %(source)s AND database = %(database)s AND stamp IS NOT NULL
  AND (%(version)s::int IS NULL OR mapper_version = %(version)s)
