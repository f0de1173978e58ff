-- Why the current role cannot make a backup, as (what it is, what mends it); no row if it can.
SELECT what, mend FROM (
    SELECT 1 AS weight, 'is a superuser' AS what, 'NOSUPERUSER' AS word, rolsuper AS is_so, rolname FROM pg_roles
    UNION ALL
    SELECT 2, 'is bound by row-level security, so it sees no rows', 'BYPASSRLS', NOT rolbypassrls, rolname FROM pg_roles
) AS attributes
CROSS JOIN LATERAL (SELECT format('ALTER ROLE %I %s', rolname, word) AS mend) AS m
WHERE is_so AND rolname = current_user
UNION ALL
SELECT 'may not read all tables', format('GRANT pg_read_all_data TO %I', current_user)
WHERE NOT pg_has_role('pg_read_all_data', 'USAGE')
UNION ALL
SELECT 'may write ' || min(format('%I.%I', n.nspname, c.relname)), format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', min(n.nspname), current_user)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
HAVING count(*) > 0
