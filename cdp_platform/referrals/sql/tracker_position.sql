-- The row with the greatest stamp that is not in the future.
SELECT ingested_at, coalesce({key}, '') FROM {stage}
WHERE ingested_at <= %(now)s AND isfinite(ingested_at)
ORDER BY 1 DESC, 2 DESC LIMIT 1
