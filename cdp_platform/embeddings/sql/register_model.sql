INSERT INTO embeddings.embedding_model
    (provider, name, dimensions, max_characters, price_per_million_tokens, state, activated_at)
VALUES (%(provider)s, %(name)s, %(dimensions)s, %(max_characters)s, %(price_per_million_tokens)s, 'active', now())
ON CONFLICT DO NOTHING
