SELECT batch_id, entity_ids FROM embeddings.claim_batches(%(tenant_id)s, %(kind)s, %(at_most)s, %(claim)s, %(lease)s)
