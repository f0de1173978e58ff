SELECT entity_id, changed_meanwhile FROM embeddings.embedding_job
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND status = 'processing' AND lease_until < now()
FOR UPDATE SKIP LOCKED
