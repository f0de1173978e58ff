INSERT INTO embeddings.usage AS u (tenant_id, model_id, day, calls, texts, tokens)
VALUES (%(tenant_id)s, %(model_id)s, %(day)s, %(calls)s, %(texts)s, %(tokens)s)
ON CONFLICT (tenant_id, model_id, day) DO UPDATE SET
    calls = u.calls + excluded.calls, texts = u.texts + excluded.texts, tokens = u.tokens + excluded.tokens
