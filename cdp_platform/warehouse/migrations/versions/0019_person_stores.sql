-- Erasure by declaration: a room declares each of its tables that keeps something of persons, once, with the table. Erasing finds
-- the declared tables, and the triggers that keep erased persons out of them, and erasures waiting, come with the declaration.

-- One person: the keys of all merged profiles, e-mail addresses (trimmed, lower case) and phone numbers (E.164). Computed once by
-- the room that knows profiles, and given to each store.
CREATE TYPE ops.person AS (profile_ids text[], addresses text[], phones text[]);

CREATE TABLE ops.person_store (
    store text PRIMARY KEY,
    place int NOT NULL GENERATED ALWAYS AS IDENTITY,
    documents text[] NOT NULL,
    blanked text[] NOT NULL,
    about_persons text NOT NULL,
    erase text,
    outside text
);
COMMENT ON TABLE ops.person_store IS 'One row per table that keeps something of persons, as ops.keep_erased_out declared it. Belongs to the platform and says nothing of any tenant.';
COMMENT ON COLUMN ops.person_store.store IS 'Schema and name of the table.';
COMMENT ON COLUMN ops.person_store.place IS 'Order of declaration. An erasure goes through the stores backwards, so that what was made of other rows goes before them.';
COMMENT ON COLUMN ops.person_store.documents IS 'For each column that names a source document: the source, the column, and optionally a condition on the rows for which it does.';
COMMENT ON COLUMN ops.person_store.blanked IS 'Columns that become NULL while the rows stay; empty where whole rows are deleted.';
COMMENT ON COLUMN ops.person_store.about_persons IS 'SQL condition: the rows that are about persons.';
COMMENT ON COLUMN ops.person_store.erase IS 'Function (tenant text, person ops.person) that erases more than rows that name a document, and returns how many rows it erased; NULL if there is none.';
COMMENT ON COLUMN ops.person_store.outside IS 'Function (tenant text) that counts the changes outside the platform that erasures asked for and that are not confirmed yet; NULL if there are none.';
GRANT SELECT ON ops.person_store TO cdp_platform;

-- Tombstones of addresses are the same for every room.
ALTER TABLE referrals.erased_address SET SCHEMA ops;

-- Delete the rows of a table whose column has one of these keys; where columns are blanked, the rows stay without them.
CREATE FUNCTION ops.erase_rows(
    for_tenant text, store text, key_column text, condition text, keys text[], blanked text[]
) RETURNS bigint
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    number bigint := 0;
BEGIN
    IF cardinality(keys) > 0 THEN
        EXECUTE format(
            '%s WHERE tenant_id = $1 AND %I = ANY ($2) AND (%s)',
            CASE WHEN blanked = '{}' THEN 'DELETE FROM ' || store ELSE (
                SELECT format('UPDATE %s SET %s', store, string_agg(format('%I = NULL', c), ', ')) FROM unnest(blanked) AS c) END,
            key_column, coalesce(condition, 'true'))
        USING for_tenant, keys;
        GET DIAGNOSTICS number = ROW_COUNT;
    END IF;
    RETURN number;
END
$$;

-- Keep erasures waiting before a statement locks the first row of a store. Of the transaction's tenant: a statement of the
-- owner, as of a restore, acts for none, and then the trigger keep_erased_out looks at the rows themselves.
CREATE FUNCTION ops.hold_off_erasures() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY[ops.current_tenant()]);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.share_erasure_locks(tenant_ids text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    each text;
BEGIN
    FOR each IN SELECT DISTINCT t FROM unnest(tenant_ids) AS t WHERE t IS NOT NULL ORDER BY t LOOP
        PERFORM pg_advisory_xact_lock_shared(ops.erasure_lock(each));
    END LOOP;
END
$$;

-- New rows that name an erased document go, or are blanked, once per statement. Where nobody was erased, that is one look-up.
CREATE FUNCTION ops.leave_out_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    declared ops.person_store;
    found record;
    tenants text[];
BEGIN
    SELECT * INTO declared FROM ops.person_store WHERE store = format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    EXECUTE format('SELECT ARRAY(SELECT DISTINCT tenant_id FROM new_rows WHERE %s)', declared.about_persons) INTO tenants;
    PERFORM ops.share_erasure_locks(tenants);
    IF EXISTS (SELECT FROM ops.erased_document) THEN
        FOR at IN 1 .. coalesce(array_length(declared.documents, 1), 0) LOOP
            FOR found IN EXECUTE format(
                'SELECT n.tenant_id, array_agg(DISTINCT n.key) AS keys'
                ' FROM (SELECT tenant_id, %I AS key FROM new_rows WHERE %s) AS n'
                ' JOIN ops.erased_document AS e ON e.tenant_id = n.tenant_id AND e.source = %L AND e.document_key = n.key'
                ' GROUP BY 1', declared.documents[at][2], coalesce(declared.documents[at][3], 'true'), declared.documents[at][1])
            LOOP
                PERFORM ops.erase_rows(
                    found.tenant_id, declared.store, declared.documents[at][2], declared.documents[at][3], found.keys,
                    declared.blanked);
            END LOOP;
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;

-- Declare a table as a store of persons: erasing deletes the person's rows, whatever comes later is left out, and who writes keeps
-- erasures waiting until the end of the transaction. Every store has the column tenant_id.
--
-- documents: for each column that names a source document, {source,column} or {source,column,condition on the rows}. Rows that
--   name a document of the person go.
-- blanked: columns that become NULL instead, so that the row survives, as the hash on a suppression list has to.
-- about_persons: the rows that are about persons, if not all are. Who writes such a table locks rows of it only after
--   cdp_platform.ops.erasure.while_nobody_is_erased; for the others a trigger does that.
-- also_updates: whether an UPDATE may change whom a row is about.
-- erase: function (tenant text, person ops.person) RETURNS bigint of the room, where naming documents does not say enough.
-- guard: trigger function of the room that keeps erased persons out, together with erase. Has new_rows, and calls
--   ops.share_erasure_locks first.
-- outside: function (tenant text) RETURNS bigint of the room: how many changes of an outside system erase asked for that are not
--   confirmed yet. The room carries them out.
CREATE FUNCTION ops.keep_erased_out(
    store regclass, documents text[] DEFAULT '{}', blanked text[] DEFAULT '{}', about_persons text DEFAULT 'true',
    also_updates boolean DEFAULT false, erase text DEFAULT NULL, guard text DEFAULT 'ops.leave_out_erased',
    outside text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    SELECT format('%I.%I', n.nspname, c.relname) INTO name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = store;
    INSERT INTO ops.person_store (store, documents, blanked, about_persons, erase, outside)
    VALUES (name, documents, blanked, about_persons, erase, outside);
    EXECUTE format('DROP TRIGGER IF EXISTS keep_erased_out ON %s', name);
    EXECUTE format('DROP TRIGGER IF EXISTS keep_erased_out_again ON %s', name);
    EXECUTE format(
        'CREATE TRIGGER keep_erased_out AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION %s()', name, guard);
    IF also_updates THEN
        EXECUTE format(
            'CREATE TRIGGER keep_erased_out_again AFTER UPDATE ON %s REFERENCING NEW TABLE AS new_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION %s()', name, guard);
    END IF;
    IF about_persons = 'true' THEN
        EXECUTE format(
            'CREATE TRIGGER hold_off_erasures BEFORE INSERT OR UPDATE OR DELETE ON %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION ops.hold_off_erasures()', name);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.keep_erased_out(regclass, text[], text[], text, boolean, text, text, text) FROM PUBLIC;

-- Erase a person from every store, in a transaction of the tenant that has the erasure lock alone. The tombstones of the person's
-- documents are there, all with the same ``whose``.
--
-- Returns how many rows each store lost.
CREATE FUNCTION ops.erase_person(for_tenant text, person ops.person, whose text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    each ops.person_store;
    keys text[];
    number bigint;
    lost jsonb := '{}';
BEGIN
    -- Rejected documents that wait are documents of the person too. Of one that is done with, the row that it became tells.
    INSERT INTO ops.erased_document (tenant_id, source, document_key, person, revision)
    SELECT for_tenant, r.source, r.document_key, whose, r.revision FROM ops.rejected_record AS r
    WHERE r.tenant_id = for_tenant AND r.profile_ids && person.profile_ids AND r.resolved_at IS NULL
    ON CONFLICT DO NOTHING;
    IF cardinality(person.addresses) > 0 THEN
        INSERT INTO ops.erased_address AS e (tenant_id, address_hash, profile_hashes)
        SELECT for_tenant, hash, ARRAY(
            SELECT sha256(secret.salt || convert_to(p, 'UTF8')) FROM unnest(person.profile_ids) AS p ORDER BY 1)
        FROM (SELECT ops.salt_of(for_tenant)) AS secret (salt),
            LATERAL (SELECT DISTINCT ops.address_hash(secret.salt, a) FROM unnest(person.addresses) AS a) AS hashed (hash)
        ON CONFLICT (tenant_id, address_hash) DO UPDATE
        SET profile_hashes = ARRAY(SELECT unnest(e.profile_hashes) UNION SELECT unnest(excluded.profile_hashes) ORDER BY 1)
        WHERE NOT e.profile_hashes @> excluded.profile_hashes;
    END IF;
    FOR each IN SELECT * FROM ops.person_store ORDER BY place DESC LOOP
        number := 0;
        IF each.erase IS NOT NULL THEN
            EXECUTE format('SELECT %s($1, $2)', each.erase) INTO number USING for_tenant, person;
        END IF;
        FOR at IN 1 .. coalesce(array_length(each.documents, 1), 0) LOOP
            keys := ARRAY(
                SELECT e.document_key FROM ops.erased_document AS e
                WHERE e.tenant_id = for_tenant AND e.person = whose AND e.source = each.documents[at][1]);
            number := number + ops.erase_rows(
                for_tenant, each.store, each.documents[at][2], each.documents[at][3], keys, each.blanked);
        END LOOP;
        lost := lost || jsonb_build_object(each.store, number);
    END LOOP;
    RETURN lost;
END
$$;

-- Changes outside the platform that erasures of a tenant asked for and that are not confirmed yet, by store.
CREATE FUNCTION ops.erasures_outside(for_tenant text) RETURNS TABLE (store text, open bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    ask text;
BEGIN
    FOR store, ask IN SELECT s.store, s.outside FROM ops.person_store AS s WHERE s.outside IS NOT NULL ORDER BY 1 LOOP
        EXECUTE format('SELECT %s($1)', ask) INTO open USING for_tenant;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Take back the tombstones of the persons of these documents. Returns the keys of their documents of the same source. The
-- platform's role may not delete tombstones otherwise.
CREATE FUNCTION ops.lift_erasure(for_tenant pg_catalog.text, of_source pg_catalog.text, asked pg_catalog.text[])
RETURNS SETOF pg_catalog.text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    persons pg_catalog.text[];
    lifted pg_catalog.text[];
    hashes pg_catalog.bytea[];
BEGIN
    IF for_tenant IS DISTINCT FROM ops.current_tenant() THEN
        RAISE EXCEPTION 'this transaction does not act for tenant %', for_tenant;
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(ops.erasure_lock(for_tenant));
    SELECT pg_catalog.array_agg(person) INTO persons FROM ops.erased_document
    WHERE tenant_id = for_tenant AND source = of_source AND document_key = ANY (asked);
    SELECT pg_catalog.array_agg(document_key) INTO lifted FROM ops.erased_document
    WHERE tenant_id = for_tenant AND source = of_source AND person = ANY (persons);
    DELETE FROM ops.erased_document WHERE tenant_id = for_tenant AND person = ANY (persons);
    SELECT pg_catalog.array_agg(pg_catalog.sha256(s.salt || pg_catalog.convert_to(p, 'UTF8'))) INTO hashes
    FROM ops.address_salt AS s, pg_catalog.unnest(lifted) AS p WHERE s.tenant_id = for_tenant;
    -- An address may be that of another who is erased.
    DELETE FROM ops.erased_address WHERE tenant_id = for_tenant AND profile_hashes <@ hashes;
    UPDATE ops.erased_address SET profile_hashes = ARRAY(
        SELECT p FROM pg_catalog.unnest(profile_hashes) AS p WHERE p <> ALL (hashes))
    WHERE tenant_id = for_tenant AND profile_hashes && hashes;
    RETURN QUERY SELECT p FROM pg_catalog.unnest(lifted) AS p ORDER BY p;
END
$$;

CREATE FUNCTION ops.erase_rejected(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM ops.rejected_record AS r
        WHERE r.tenant_id = for_tenant AND r.profile_ids && person.profile_ids RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

-- The room that knows profiles -------------------------------------------------------------------------------------------------

-- The person that these profiles are of. addresses: e-mail addresses of theirs that no row has, as of a document that is left out.
CREATE FUNCTION customers.person(for_tenant text, asked text[], addresses text[]) RETURNS ops.person
LANGUAGE plpgsql AS $$
DECLARE
    family text[] := customers.family(for_tenant, asked);
BEGIN
    RETURN ROW(
        family,
        ARRAY(SELECT lower(btrim(a)) FROM unnest(addresses) AS a WHERE btrim(a) <> ''
              UNION SELECT a FROM customers.addresses(for_tenant, family) AS a),
        ARRAY(SELECT DISTINCT phone FROM customers.cdp_profiles AS p, LATERAL (
                  SELECT p.primary_phone UNION SELECT jsonb_array_elements_text(p.secondary_phones)) AS every (phone)
              WHERE p.tenant_id = for_tenant AND p.profile_id = ANY (family) AND phone IS NOT NULL)
    )::ops.person;
END
$$;

-- Erase the person that these profiles are of, with all profiles of theirs, from every store. The profiles need not be here.
--
-- Returns the person's profiles, those of them that had a tombstone before, and how many rows each store lost.
CREATE FUNCTION customers.erase_person(
    for_tenant text, asked text[], addresses text[] DEFAULT '{}',
    OUT profile_ids text[], OUT erased_before text[], OUT lost jsonb
)
LANGUAGE plpgsql AS $$
DECLARE
    person ops.person;
    whose text;
BEGIN
    -- First of all: writers that have begun end before the family is read, and those that begin later find the tombstones.
    PERFORM pg_advisory_xact_lock(ops.erasure_lock(for_tenant));
    person := customers.person(for_tenant, asked, addresses);
    profile_ids := person.profile_ids;
    -- A merge may show that two who were erased are one.
    SELECT coalesce(array_agg(e.document_key ORDER BY e.document_key), '{}'), coalesce(min(e.person), asked[1])
    INTO erased_before, whose FROM ops.erased_document AS e
    WHERE e.tenant_id = for_tenant AND e.source = 'cdp_profile' AND e.document_key = ANY (profile_ids);
    UPDATE ops.erased_document AS e SET person = whose
    WHERE e.tenant_id = for_tenant AND e.person IS DISTINCT FROM whose
      AND (e.person = ANY (profile_ids) OR e.source = 'cdp_profile' AND e.document_key = ANY (profile_ids));
    INSERT INTO ops.erased_document (tenant_id, source, document_key, person, revision)
    SELECT for_tenant, 'cdp_profile', key, whose, coalesce(r.revision, p.revision)
    FROM unnest(profile_ids) AS key
    LEFT JOIN customers.cdp_profiles AS p ON p.tenant_id = for_tenant AND p.profile_id = key
    LEFT JOIN ops.rejected_record AS r
        ON r.tenant_id = for_tenant AND r.source = 'cdp_profile' AND r.document_key = key AND r.resolved_at IS NULL
    UNION ALL
    SELECT for_tenant, 'cdp_profile2conversion', t.line_id, whose, t.revision FROM customers.transactions AS t
    WHERE t.tenant_id = for_tenant AND t.profile_id = ANY (profile_ids)
    ON CONFLICT DO NOTHING;
    lost := ops.erase_person(for_tenant, person, whose);
END
$$;

-- A profile that comes with the key of an erased one, its own or its root's, is erased with all that is known of the person.
CREATE OR REPLACE FUNCTION customers.keep_erased_profiles_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    each record;
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    FOR each IN
        SELECT DISTINCT n.tenant_id, array_remove(ARRAY[n.profile_id, nullif(n.root_profile_id, '')], NULL) AS profile_ids
        FROM new_rows AS n, LATERAL (VALUES (n.profile_id), (n.root_profile_id)) AS v (key), ops.erased_document AS e
        WHERE e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = v.key
    LOOP
        PERFORM customers.erase_person(each.tenant_id, each.profile_ids);
    END LOOP;
    RETURN NULL;
END
$$;

-- A rejected profile says who is one person, too. Any other rejected document of an erased person just goes.
CREATE FUNCTION customers.keep_erased_rejections_out() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    each record;
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows WHERE profile_ids <> '{}'));
    FOR each IN
        SELECT DISTINCT n.tenant_id, n.source, n.document_key, n.profile_ids, n.resolved_at IS NULL AS waits
        FROM new_rows AS n, LATERAL unnest(n.profile_ids) AS v (key), ops.erased_document AS e
        WHERE e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = v.key
    LOOP
        IF each.source = 'cdp_profile' AND each.waits THEN
            PERFORM customers.erase_person(each.tenant_id, each.profile_ids);
        END IF;
        DELETE FROM ops.rejected_record AS r
        WHERE r.tenant_id = each.tenant_id AND r.source = each.source AND r.document_key = each.document_key;
    END LOOP;
    RETURN NULL;
END
$$;

SELECT ops.keep_erased_out(
    'customers.cdp_profiles', '{{cdp_profile,profile_id}}', guard => 'customers.keep_erased_profiles_out', also_updates => true);
SELECT ops.keep_erased_out(
    'customers.transactions', '{{cdp_profile,profile_id},{cdp_profile2conversion,line_id}}', also_updates => true);
SELECT ops.keep_erased_out(
    'ops.rejected_record', about_persons => 'profile_ids <> ''{}''', erase => 'ops.erase_rejected',
    guard => 'customers.keep_erased_rejections_out', also_updates => true);
SELECT ops.keep_erased_out(('customers.' || name)::regclass, '{{cdp_profile,profile_id}}')
FROM unnest('{customer_metrics,customer_value,touched_customer}'::text[]) AS name;

-- Texts ------------------------------------------------------------------------------------------------------------------------

SELECT ops.keep_erased_out(('embeddings.' || name)::regclass, '{{cdp_profile,profile_id}}')
FROM unnest('{lookalike_audience,profile_cluster}'::text[]) AS name;
-- Jobs last, so that they are erased first: who writes a vector holds its job, so the vector is there to be deleted after it.
SELECT ops.keep_erased_out(
    ('embeddings.' || name)::regclass,
    '{{cdp_profile,entity_id,kind = ''profile''},{cdp_profile2conversion,entity_id,kind = ''transaction''}}',
    about_persons => 'kind IN (''profile'', ''transaction'')')
FROM unnest('{passage,embedding,embedding_job}'::text[]) AS name;

-- Referrals --------------------------------------------------------------------------------------------------------------------

-- Events stay, since they are figures of an officer; what they say of the person goes, and what worksheets show of it is written
-- again by the next export. Clicks are erased first: signups lead to them.
CREATE FUNCTION referrals.erase_signups(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH erased AS (
        UPDATE referrals.signup_event SET email = NULL, erased_at = now()
        WHERE tenant_id = for_tenant AND email IS NOT NULL AND lower(trim(email)) = ANY (person.addresses)
        RETURNING signup_event_id
    ), shown AS (
        UPDATE referrals.exported_event SET stale = true
        WHERE tenant_id = for_tenant AND event_type = 'signup' AND event_id IN (SELECT signup_event_id FROM erased)
    )
    SELECT count(*) FROM erased;
END;
CREATE FUNCTION referrals.erase_clicks(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH erased AS (
        UPDATE referrals.click_event
        SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
        WHERE tenant_id = for_tenant AND click_event_id IN (
            SELECT s.click_event_id FROM referrals.signup_event AS s
            WHERE s.tenant_id = for_tenant AND s.email IS NOT NULL AND lower(trim(s.email)) = ANY (person.addresses))
        RETURNING click_event_id
    ), shown AS (
        UPDATE referrals.exported_event SET stale = true
        WHERE tenant_id = for_tenant AND event_type = 'click' AND event_id IN (SELECT click_event_id FROM erased)
    )
    SELECT count(*) FROM erased;
END;
CREATE FUNCTION referrals.rows_to_write_again(for_tenant text) RETURNS bigint
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*) FROM referrals.exported_event WHERE tenant_id = for_tenant AND stale;
END;

CREATE OR REPLACE FUNCTION referrals.keep_erased_signups_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_address) AND EXISTS (SELECT FROM new_rows WHERE email IS NOT NULL) THEN
        WITH erased AS (
            UPDATE referrals.signup_event AS s SET email = NULL, erased_at = now()
            FROM new_rows AS n JOIN ops.address_salt AS a ON a.tenant_id = n.tenant_id
                JOIN ops.erased_address AS e
                    ON e.tenant_id = n.tenant_id AND e.address_hash = ops.address_hash(a.salt, n.email)
            WHERE s.tenant_id = n.tenant_id AND s.signup_event_id = n.signup_event_id AND s.email IS NOT NULL
            RETURNING s.tenant_id, s.signup_event_id
        )
        UPDATE referrals.exported_event AS x SET stale = true FROM erased AS e
        WHERE x.tenant_id = e.tenant_id AND x.event_type = 'signup' AND x.event_id = e.signup_event_id;
        WITH erased AS (
            UPDATE referrals.click_event AS c
            SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
            FROM new_rows AS n JOIN referrals.signup_event AS s USING (tenant_id, signup_event_id)
            WHERE c.tenant_id = n.tenant_id AND c.click_event_id = s.click_event_id
              AND s.erased_at IS NOT NULL AND c.erased_at IS NULL
            RETURNING c.tenant_id, c.click_event_id
        )
        UPDATE referrals.exported_event AS x SET stale = true FROM erased AS e
        WHERE x.tenant_id = e.tenant_id AND x.event_type = 'click' AND x.event_id = e.click_event_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION referrals.keep_erased_clicks_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_address) THEN
        UPDATE referrals.click_event AS c
        SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
        FROM new_rows AS n JOIN referrals.signup_event AS s
            ON s.tenant_id = n.tenant_id AND s.click_event_id = n.click_event_id AND s.erased_at IS NOT NULL
        WHERE c.tenant_id = n.tenant_id AND c.click_event_id = n.click_event_id AND c.erased_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;

SELECT ops.keep_erased_out(
    'referrals.signup_event', erase => 'referrals.erase_signups', guard => 'referrals.keep_erased_signups_out',
    also_updates => true, outside => 'referrals.rows_to_write_again');
SELECT ops.keep_erased_out(
    'referrals.click_event', erase => 'referrals.erase_clicks', guard => 'referrals.keep_erased_clicks_out');

-- Tables of rooms that this version does not know: what their trigger named, or the column by which they were found before.
SELECT ops.keep_erased_out(c.oid, CASE WHEN named.pairs <> '{}' THEN ARRAY(
    SELECT ARRAY[named.pairs[at], named.pairs[at + 1]] FROM generate_series(1, cardinality(named.pairs) - 1, 2) AS at)
    ELSE '{{cdp_profile,profile_id}}' END)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = 'keep_erased_out' AND t.tgfoid = 'ops.keep_erased_out()'::regprocedure
CROSS JOIN LATERAL (
    SELECT array_remove(string_to_array(encode(t.tgargs, 'escape'), '\000'), '') AS pairs) AS named
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND pg_has_role(c.relowner, 'USAGE')
  AND format('%I.%I', n.nspname, c.relname) NOT IN (SELECT store FROM ops.person_store)
  AND (t.oid IS NOT NULL OR 2 = (
      SELECT count(*) FROM pg_attribute AS a
      WHERE a.attrelid = c.oid AND a.attname IN ('tenant_id', 'profile_id') AND NOT a.attisdropped));

DROP FUNCTION ops.erase_person(text, text[], text[]);
DROP FUNCTION ops.lift_erasure(text, text[]);
DROP FUNCTION ops.keep_erased_out();
DROP FUNCTION ops.keep_erased_rejections_out();
DROP FUNCTION embeddings.keep_erased_out();
DROP FUNCTION embeddings.erase_persons(text, text[], text[]);
DROP FUNCTION referrals.erase_persons(text, text[], text[]);

REVOKE EXECUTE ON FUNCTION ops.erase_person, ops.lift_erasure, ops.erase_rows, customers.erase_person FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.erase_person, ops.lift_erasure, ops.erase_rows, customers.erase_person TO cdp_platform;
