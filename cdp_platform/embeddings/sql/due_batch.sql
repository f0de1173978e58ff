SELECT FROM embeddings.text_batch
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s
  AND (claim IS NULL AND not_before <= now() OR lease_until < now()) LIMIT 1
