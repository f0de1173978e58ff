CREATE TEMPORARY TABLE IF NOT EXISTS stage_embedding (
    entity_id text, model_id int, vector vector, content_hash bytea
) ON COMMIT DELETE ROWS
