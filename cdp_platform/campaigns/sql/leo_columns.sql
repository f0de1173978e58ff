-- Their tables in the first schema of the search path that has a marketing_event, with the names of their columns.
SELECT c.relname, array_agg(a.attname::text)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p', 'v', 'm') AND pg_table_is_visible(c.oid)
GROUP BY c.relname
