-- A job that is completed says only that its text has its vector, and the vector says that too.
SELECT j.ctid FROM embeddings.embedding_job AS j
WHERE j.tenant_id = %(tenant)s AND j.status = 'completed' AND j.finished_at < %(until)s
