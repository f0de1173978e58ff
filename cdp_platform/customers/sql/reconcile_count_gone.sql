-- Documents that are here, and those of them that the source does not have.
SELECT count(*), count(*) FILTER (WHERE s.key IS NULL)
FROM ({held}) AS h LEFT JOIN source_key AS s ON s.key = h.key
