-- A line for everything by which tenants are kept apart and rights are limited, in a fixed order.
WITH mine AS (
    SELECT oid, nspname, nspacl, nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
),
of_extensions AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
relation AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class AS c JOIN mine AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND NOT EXISTS (SELECT FROM of_extensions AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
),
routine AS (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc AS p JOIN mine AS n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM of_extensions AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
),
held AS (
    SELECT format('schema %I', nspname) AS what, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM mine
    UNION ALL
    SELECT name, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)) FROM relation
    UNION ALL
    SELECT format('%s (%I)', r.name, a.attname), a.attacl FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT name, coalesce(proacl, acldefault('f', proowner)) FROM routine
)
SELECT line FROM (
    SELECT format('%s: row-level security %s, %s', name, CASE WHEN relrowsecurity THEN 'enabled' ELSE 'off' END,
        CASE WHEN relforcerowsecurity THEN 'forced' ELSE 'not forced' END) AS line FROM relation WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT format('%s: policy %I for %s, permissive %s, to %s, using %s, check %s', r.name, p.polname, p.polcmd, p.polpermissive,
        (SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o)::text END, ', ' ORDER BY o) FROM unnest(p.polroles) AS o),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
    UNION ALL
    SELECT format('%s: %s may %s%s', held.what, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
        a.privilege_type, CASE WHEN a.is_grantable THEN ' and grant it' END)
    FROM held, aclexplode(held.acl) AS a
    UNION ALL
    SELECT format('%s: runs with the rights of %s, %s', name, CASE WHEN prosecdef THEN pg_get_userbyid(proowner)::text ELSE 'its caller' END,
        proconfig) FROM routine
    UNION ALL
    SELECT format('%s: trigger %I, enabled %s', r.name, t.tgname, t.tgenabled)
    FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
) AS all_lines
ORDER BY line COLLATE "C"
