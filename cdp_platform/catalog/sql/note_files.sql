INSERT INTO catalog.feed_state (tenant_id, ingestor, organization_id, path, etag, last_modified, size, digest, rules)
SELECT %(tenant)s, %(ingestor)s, %(organization)s, path, etag, last_modified, size, digest, %(rules)s
FROM unnest(
    %(paths)s::text[], %(etags)s::text[], %(last_modifieds)s::text[], %(sizes)s::bigint[], %(digests)s::text[]
) AS f (path, etag, last_modified, size, digest)
ON CONFLICT (tenant_id, ingestor, organization_id, path) DO UPDATE SET
    etag = excluded.etag, last_modified = excluded.last_modified, size = excluded.size, digest = excluded.digest,
    rules = excluded.rules, taken_at = now()
