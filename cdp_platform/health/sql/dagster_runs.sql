-- Of Dagster's own database. Its columns without a time zone are in that of the server, as this session is.
SELECT status, count(*) FROM runs GROUP BY status
