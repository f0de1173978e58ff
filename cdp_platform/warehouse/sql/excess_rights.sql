-- Rights of the current role that the platform's role must not have: one row per right, as (what it is, what takes it away).
-- Row-level security binds neither a superuser nor BYPASSRLS. A membership counts whatever its options are.
WITH RECURSIVE mine AS (
    SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user
    UNION
    SELECT m.roleid FROM pg_catalog.pg_auth_members AS m JOIN mine ON m.member = mine.oid
),
role AS (
    SELECT r.*, r.rolname = current_user AS is_self, pg_catalog.quote_ident(r.rolname) AS name,
           CASE WHEN r.rolname = current_user THEN 'it ' ELSE pg_catalog.format('it may become %I, which ', r.rolname) END
               AS subject,
           (SELECT pg_catalog.format('REVOKE %I FROM %s', r.rolname, pg_catalog.string_agg(
                pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', '))
            FROM pg_catalog.pg_auth_members AS m
            WHERE m.roleid = r.oid AND m.member IN (SELECT oid FROM mine)) AS leave
    FROM pg_catalog.pg_roles AS r WHERE r.oid IN (SELECT oid FROM mine)
),
here AS (
    SELECT oid, datname, datdba, datacl FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
),
owned AS (
    SELECT role.subject, role.is_self, role.name, role.leave, o.type,
           pg_catalog.split_part(o.identity, '(', 1) AS identity
    FROM role
    JOIN pg_catalog.pg_shdepend AS d ON d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND d.refobjid = role.oid AND d.deptype = 'o'
    JOIN here ON here.oid = d.dbid
        OR (d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND here.oid = d.objid)
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
    -- Temporary objects are the platform's own, of this or another session.
    WHERE NOT role.rolsuper AND o.identity IS NOT NULL AND coalesce(o.schema, '') !~ '^pg_(toast_)?temp'
),
granted AS (
    SELECT acl.grantee, n.nspowner AS owner, acl.privilege_type AS privilege, 'SCHEMA ' AS kind,
           pg_catalog.quote_ident(n.nspname) AS object
    FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS acl
    WHERE acl.privilege_type = 'CREATE'
    UNION ALL
    SELECT acl.grantee, here.datdba, acl.privilege_type, 'DATABASE ', pg_catalog.quote_ident(here.datname)
    FROM here, pg_catalog.aclexplode(here.datacl) AS acl
    WHERE acl.privilege_type = 'CREATE'
    UNION ALL
    -- Row-level security does not bind TRUNCATE, and a trigger runs with the rights of those who write. PostgreSQL's own
    -- relations have lower numbers.
    SELECT acl.grantee, c.relowner, acl.privilege_type, '', pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace,
         pg_catalog.aclexplode(c.relacl) AS acl
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND acl.privilege_type IN ('TRUNCATE', 'TRIGGER', 'MAINTAIN')
)
SELECT what, mend FROM (
    SELECT weight, subject || 'is ' || a.what AS what,
           CASE WHEN is_self THEN pg_catalog.format('ALTER ROLE %s NO%s', name, word) ELSE leave END AS mend
    FROM role CROSS JOIN LATERAL (VALUES
        (1, rolsuper, 'a superuser', 'SUPERUSER'),
        (2, rolbypassrls, 'BYPASSRLS', 'BYPASSRLS'),
        (3, rolreplication, 'REPLICATION', 'REPLICATION'),
        (3, rolcreaterole, 'CREATEROLE', 'CREATEROLE'),
        (3, rolcreatedb, 'CREATEDB', 'CREATEDB')
    ) AS a (weight, is_so, what, word)
    WHERE a.is_so AND (NOT rolsuper OR word = 'SUPERUSER')
    UNION ALL
    -- The roles of monitoring show statistics, never rows.
    SELECT 4, 'it is a member of ' || name, leave
    FROM role
    WHERE rolname ~ '^pg_' AND NOT is_self AND rolname NOT IN (
        'pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_use_reserved_connections')
    UNION ALL
    SELECT 5, subject || 'owns ' || pg_catalog.string_agg(shown, ', ' ORDER BY shown),
           CASE WHEN is_self THEN pg_catalog.format('REASSIGN OWNED BY %s TO {owner}', name) ELSE leave END
    FROM (
        SELECT subject, is_self, name, leave, type || ' ' || pg_catalog.min(identity) || CASE WHEN pg_catalog.count(*) > 1
               THEN pg_catalog.format(' and %s more', pg_catalog.count(*) - 1) ELSE '' END AS shown
        FROM owned GROUP BY subject, is_self, name, leave, type
    ) AS kinds
    GROUP BY subject, is_self, name, leave
    UNION ALL
    SELECT 6, 'it may ' || pg_catalog.string_agg(DISTINCT privilege, ' and ') || CASE kind WHEN '' THEN ' ' ELSE ' in ' END
              || pg_catalog.lower(kind) || pg_catalog.min(object)
              || CASE WHEN pg_catalog.count(DISTINCT object) > 1
                 THEN pg_catalog.format(' and %s more', pg_catalog.count(DISTINCT object) - 1) ELSE '' END,
           pg_catalog.format('REVOKE %s ON %s%s FROM %s', pg_catalog.string_agg(DISTINCT privilege, ', '), kind,
               pg_catalog.string_agg(DISTINCT object, ', '),
               CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END)
    FROM granted
    WHERE (grantee = 0 OR grantee IN (SELECT oid FROM mine)) AND grantee <> owner
    GROUP BY grantee, kind
) AS found
ORDER BY weight, what
