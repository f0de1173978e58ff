SELECT {tenant}, count(*), coalesce(sum(hashtextextended((r.*)::text, 0)), 0)::text FROM {table} AS r GROUP BY 1 ORDER BY 1
