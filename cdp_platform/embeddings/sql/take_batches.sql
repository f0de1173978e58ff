SELECT batches, size, attempts
FROM embeddings.take_batches(%(tenant_id)s, %(kind)s, %(at_most)s, %(claim)s, %(lease)s, %(most)s)
