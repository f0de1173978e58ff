INSERT INTO ops.rejected_record AS r
    (tenant_id, source, document_key, code, path, message, document, profile_ids, revision, addresses,
    read_once)
VALUES (
    %(tenant)s, %(source)s, %(document_key)s, %(code)s, %(path)s, %(message)s, %(document)s::json, %(profile_ids)s,
    %(revision)s, %(addresses)s, %(read_once)s)
ON CONFLICT (tenant_id, source, document_key) DO UPDATE
SET code = excluded.code, path = excluded.path, message = excluded.message, document = excluded.document,
    profile_ids = excluded.profile_ids, revision = excluded.revision, addresses = excluded.addresses,
    read_once = excluded.read_once, last_seen_at = now(), attempts = r.attempts + 1, resolved_at = NULL
