INSERT INTO ops.sync_watermark (tenant_id, source, last_success_at, source_count, undated_count, mapper_version)
VALUES (%(tenant)s, %(source)s, now(), %(source_count)s, %(undated_count)s, %(version)s)
ON CONFLICT (tenant_id, source) DO UPDATE
SET last_success_at = excluded.last_success_at, source_count = excluded.source_count,
    undated_count = excluded.undated_count, mapper_version = excluded.mapper_version
