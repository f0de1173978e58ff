SELECT format('%s.%s', schemaname, sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL ORDER BY 1
