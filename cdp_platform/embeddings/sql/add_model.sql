INSERT INTO embeddings.embedding_model (provider, name, dimensions, max_characters, price_per_million_tokens, state)
VALUES (%(provider)s, %(name)s, %(dimensions)s, %(max_characters)s, %(price_per_million_tokens)s, 'building')
ON CONFLICT (provider, name, dimensions) DO UPDATE
SET state = 'building', max_characters = excluded.max_characters, activated_at = NULL, retired_at = NULL,
    price_per_million_tokens = excluded.price_per_million_tokens
RETURNING model_id
