-- The queue of texts: a row per batch.
SELECT 1;
