-- The last row as the tracker ingested them, less those that it will have ingested in the future.
SELECT ingested_at, coalesce({key}, '') FROM {stage}
WHERE ingested_at <= %(now)s AND isfinite(ingested_at)
ORDER BY 1 DESC, 2 DESC LIMIT 1
