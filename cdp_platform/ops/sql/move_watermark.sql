INSERT INTO ops.sync_watermark AS held (tenant_id, source, database, stamp, document_key, mapper_version)
VALUES (%(tenant)s, %(source)s, %(database)s, %(stamp)s, %(key)s, %(version)s)
ON CONFLICT (tenant_id, source) DO UPDATE
SET database = excluded.database, stamp = excluded.stamp, document_key = excluded.document_key, moved_at = now(),
    -- While everything is read again, the table still has rows of the old version. At a first reading it has none.
    mapper_version = CASE WHEN held.stamp IS NULL OR held.database IS DISTINCT FROM excluded.database
                          THEN excluded.mapper_version ELSE held.mapper_version END
