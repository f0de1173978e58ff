SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(',', 'pg_catalog', (
    SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'vector'), 'pg_temp'), false)
