SELECT FROM embeddings.text_batch
WHERE tenant_id = %(tenant_id)s AND batch_id = ANY (%(batches)s) AND claim = %(claim)s LIMIT 1
