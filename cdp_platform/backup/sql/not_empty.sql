-- What a database has that a new one has not: one row per schema and relation, without those of extensions.
SELECT found FROM (
    SELECT 'pg_namespace'::regclass AS kind, oid, format('schema %s', nspname) AS found FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, format('relation %s.%s', n.nspname, c.relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS all_of_them
WHERE NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = kind AND d.objid = all_of_them.oid AND d.deptype = 'e')
  -- An extension does not own the schema that it was put into.
  AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE kind = 'pg_namespace'::regclass AND e.extnamespace = all_of_them.oid)
ORDER BY 1
