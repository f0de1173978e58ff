SELECT format('%s.%s', n.nspname, c.relname),
    EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull AND NOT a.attisdropped)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE t.tgname = 'effects_move' AND t.tgfoid = 'ops.move_effect_forward()'::regprocedure
ORDER BY 1
