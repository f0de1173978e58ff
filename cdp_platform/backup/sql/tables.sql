-- One row per table that a dump has, with the place of the tenant among the columns of its rows.
SELECT n.nspname AS schema, c.relname AS name,
    (SELECT p.place FROM (
        SELECT a.attname, row_number() OVER (ORDER BY a.attnum)::int - 1 AS place
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ) AS p WHERE p.attname = 'tenant_id') AS tenant_place
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
    SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
