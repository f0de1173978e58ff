SELECT model_id, provider, name, dimensions, max_characters, price_per_million_tokens, state
FROM embeddings.embedding_model
ORDER BY array_position(ARRAY['active', 'building', 'retired'], state), model_id
