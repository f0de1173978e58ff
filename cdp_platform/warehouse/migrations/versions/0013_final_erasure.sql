-- Erasure that holds whatever the order of merge, sync, rejection, replay, restore and erasure.
--
-- A person is all profiles that the CDP merged, directly or through others. Where one of them has a tombstone, all of them
-- get one, in the transaction that learns of the merge.

-- Tombstones say who was erased together, and which version of the document was left out ------------------------------------

ALTER TABLE ops.erased_document ADD COLUMN person text, ADD COLUMN revision text;
COMMENT ON TABLE ops.erased_document IS 'Tombstones: one row per source document of an erased person. Holds random keys and nothing else of them.';
COMMENT ON COLUMN ops.erased_document.person IS 'Key of one of the person''s profiles, the same for all tombstones of a person. NULL for a purchase that was erased before this was kept and was not read since.';
COMMENT ON COLUMN ops.erased_document.revision IS 'The _rev of the document when it was last left out or deleted here; NULL while the source is not known to have the document.';
CREATE INDEX erased_document_person ON ops.erased_document (tenant_id, person);

ALTER TABLE referrals.erased_address ADD COLUMN profile_hashes bytea[];
COMMENT ON COLUMN referrals.erased_address.profile_hashes IS 'The keys of the erased profiles that had the address, hashed with the same secret. NULL for older tombstones, which stay when an erasure is undone.';

-- Whoever is in a family is found by this. Few profiles are merged.
CREATE INDEX cdp_profiles_root ON customers.cdp_profiles (tenant_id, root_profile_id)
    WHERE root_profile_id IS NOT NULL AND root_profile_id <> profile_id;

-- The one lock of a tenant that keeps writers and erasures apart: writers share it, an erasure has it alone.
CREATE FUNCTION ops.erasure_lock(for_tenant text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('cdp_platform:erase ' || for_tenant, 0);

-- Who a person is -----------------------------------------------------------------------------------------------------------

-- These profiles and all that are the same person: by rows, by rejected documents that wait, and by tombstones.
CREATE FUNCTION customers.family(for_tenant text, asked text[]) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    found text[] := '{}';
    added text[] := asked;
BEGIN
    WHILE cardinality(added) > 0 LOOP
        found := found || added;
        added := ARRAY(
            SELECT key FROM (
                SELECT root_profile_id FROM customers.cdp_profiles
                WHERE tenant_id = for_tenant AND profile_id = ANY (added)
                  AND root_profile_id IS NOT NULL AND root_profile_id <> profile_id
                UNION
                SELECT profile_id FROM customers.cdp_profiles
                WHERE tenant_id = for_tenant AND root_profile_id = ANY (added)
                  AND root_profile_id IS NOT NULL AND root_profile_id <> profile_id
                UNION
                SELECT unnest(profile_ids) FROM ops.rejected_record
                WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND resolved_at IS NULL AND profile_ids && added
                UNION
                SELECT other.document_key
                FROM ops.erased_document AS known JOIN ops.erased_document AS other USING (tenant_id, source, person)
                WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND known.document_key = ANY (added)
            ) AS related (key)
            WHERE key <> '' AND key <> ALL (found)
        );
    END LOOP;
    RETURN ARRAY(SELECT DISTINCT key FROM unnest(found) AS key ORDER BY key);
END
$$;

-- A rejected document without the escapes that jsonb does not take: NUL characters and halves of surrogate pairs.
CREATE FUNCTION ops.readable(document json) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(document::text, '(?<!\\)((\\\\)*)\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1', 'g')::jsonb;

-- Every e-mail address in documents of these profiles, rows and rejected ones, trimmed and in lower case.
CREATE FUNCTION customers.addresses(for_tenant text, profile_ids text[]) RETURNS SETOF text
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH known AS (
        SELECT p.document, p.primary_email, p.secondary_emails FROM customers.cdp_profiles AS p
        WHERE p.tenant_id = for_tenant AND p.profile_id = ANY (profile_ids)
        UNION ALL
        SELECT ops.readable(r.document), NULL, '[]' FROM ops.rejected_record AS r
        WHERE r.tenant_id = for_tenant AND r.source = 'cdp_profile' AND r.document_key = ANY (profile_ids)
    )
    SELECT DISTINCT lower(btrim(address)) FROM known, LATERAL (
        SELECT primary_email
        UNION ALL SELECT document ->> 'primaryEmail'
        UNION ALL SELECT jsonb_array_elements_text('[]' || secondary_emails)
        UNION ALL SELECT jsonb_array_elements_text('[]' || (document -> 'secondaryEmails'))
        UNION ALL
        SELECT substr(identity, 7) FROM jsonb_array_elements_text('[]' || (document -> 'identities')) AS i (identity)
        WHERE identity LIKE 'email:%'
    ) AS every (address)
    WHERE btrim(address) <> '';
END;

-- Erasing -------------------------------------------------------------------------------------------------------------------

-- Each room that keeps more of a person than rows with a profile_id has a function of this name and these arguments, which
-- deletes it and says how many rows each store lost. All are found by that name. Tables with tenant_id and profile_id need
-- none. Called before the person's rows of the room customers are gone.
CREATE FUNCTION embeddings.erase_persons(for_tenant text, profile_ids text[], addresses text[])
RETURNS TABLE (store text, lost bigint)
LANGUAGE plpgsql AS $$
DECLARE
    lines text[] := ARRAY(
        SELECT line_id FROM customers.transactions AS t
        WHERE t.tenant_id = for_tenant AND t.profile_id = ANY (erase_persons.profile_ids));
BEGIN
    -- Jobs first: a worker that writes a vector holds its job, so the vector is there to be deleted after it.
    FOREACH store IN ARRAY '{embedding_job,embedding,passage}'::text[] LOOP
        EXECUTE format(
            'DELETE FROM embeddings.%I WHERE tenant_id = $1'
            ' AND (kind = ''profile'' AND entity_id = ANY ($2) OR kind = ''transaction'' AND entity_id = ANY ($3))', store)
        USING for_tenant, profile_ids, lines;
        GET DIAGNOSTICS lost = ROW_COUNT;
        store := 'embeddings.' || store;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Events stay, since they are figures of an officer; what they say of the person goes. Clicks first: signups lead to them.
CREATE FUNCTION referrals.erase_persons(for_tenant text, profile_ids text[], addresses text[])
RETURNS TABLE (store text, lost bigint)
LANGUAGE plpgsql AS $$
DECLARE
    signups text[];
    gone text[];
BEGIN
    IF cardinality(addresses) > 0 THEN
        INSERT INTO referrals.address_salt (tenant_id, salt)
        VALUES (for_tenant, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        ON CONFLICT DO NOTHING;
        INSERT INTO referrals.erased_address AS e (tenant_id, address_hash, profile_hashes)
        SELECT for_tenant, hash, ARRAY(
            SELECT sha256(s.salt || convert_to(p, 'UTF8')) FROM unnest(erase_persons.profile_ids) AS p ORDER BY 1)
        FROM referrals.address_salt AS s,
            LATERAL (SELECT DISTINCT referrals.address_hash(s.salt, a) FROM unnest(addresses) AS a) AS hashed (hash)
        WHERE s.tenant_id = for_tenant
        ON CONFLICT (tenant_id, address_hash) DO UPDATE
        SET profile_hashes = ARRAY(SELECT unnest(e.profile_hashes) UNION SELECT unnest(excluded.profile_hashes) ORDER BY 1)
        WHERE NOT e.profile_hashes @> excluded.profile_hashes;
    END IF;
    signups := ARRAY(
        SELECT signup_event_id FROM referrals.signup_event
        WHERE tenant_id = for_tenant AND email IS NOT NULL AND lower(trim(email)) = ANY (addresses));

    WITH erased AS (
        UPDATE referrals.click_event AS c
        SET ip = NULL, user_agent = NULL, geo_country = NULL, geo_city = NULL, geo_region = NULL, erased_at = now()
        WHERE c.tenant_id = for_tenant AND c.click_event_id IN (
            SELECT s.click_event_id FROM referrals.signup_event AS s
            WHERE s.tenant_id = for_tenant AND s.signup_event_id = ANY (signups))
        RETURNING c.click_event_id
    )
    SELECT array_agg(click_event_id) INTO gone FROM erased;
    UPDATE referrals.exported_event SET stale = true
    WHERE tenant_id = for_tenant AND event_type = 'click' AND event_id = ANY (gone);
    store := 'referrals.click_event';
    lost := coalesce(cardinality(gone), 0);
    RETURN NEXT;

    UPDATE referrals.signup_event SET email = NULL, erased_at = now()
    WHERE tenant_id = for_tenant AND signup_event_id = ANY (signups);
    UPDATE referrals.exported_event SET stale = true
    WHERE tenant_id = for_tenant AND event_type = 'signup' AND event_id = ANY (signups);
    store := 'referrals.signup_event';
    lost := cardinality(signups);
    RETURN NEXT;
END
$$;

-- Erase the person that these profiles are of, with all profiles of theirs, from every table. The profiles need not be here.
--
-- addresses: e-mail addresses of theirs that no row has, as of a document that is left out.
--
-- Returns the person's profiles, those of them that had a tombstone before, and how many rows each store lost.
CREATE FUNCTION ops.erase_person(
    for_tenant text, asked text[], addresses text[] DEFAULT '{}',
    OUT profile_ids text[], OUT erased_before text[], OUT lost jsonb
)
LANGUAGE plpgsql AS $$
DECLARE
    whose text;
    each record;
    number bigint;
BEGIN
    -- First of all: writers that have begun end before the family is read, and those that begin later find the tombstones.
    PERFORM pg_advisory_xact_lock(ops.erasure_lock(for_tenant));
    profile_ids := customers.family(for_tenant, asked);
    erased_before := ARRAY(
        SELECT document_key FROM ops.erased_document
        WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND document_key = ANY (profile_ids) ORDER BY 1);
    addresses := ARRAY(
        SELECT lower(btrim(a)) FROM unnest(addresses) AS a WHERE btrim(a) <> ''
        UNION SELECT a FROM customers.addresses(for_tenant, profile_ids) AS a);

    -- A merge may show that two who were erased are one.
    SELECT coalesce(min(person), asked[1]) INTO whose FROM ops.erased_document
    WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND document_key = ANY (profile_ids);
    UPDATE ops.erased_document SET person = whose
    WHERE tenant_id = for_tenant AND person IS DISTINCT FROM whose
      AND (person = ANY (profile_ids) OR source = 'cdp_profile' AND document_key = ANY (profile_ids));
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
    -- Of a record that is done with, the row says whose it is now.
    INSERT INTO ops.erased_document (tenant_id, source, document_key, person, revision)
    SELECT for_tenant, r.source, r.document_key, whose, r.revision FROM ops.rejected_record AS r
    WHERE r.tenant_id = for_tenant AND r.profile_ids && erase_person.profile_ids
      AND r.source <> 'cdp_profile' AND r.resolved_at IS NULL
    ON CONFLICT DO NOTHING;

    lost := '{}';
    FOR each IN
        SELECT n.nspname FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
        WHERE f.proname = 'erase_persons'
          AND f.proargtypes = '25 1009 1009' -- text, text[], text[]
        ORDER BY 1
    LOOP
        EXECUTE format('SELECT $4 || jsonb_object_agg(store, lost) FROM %I.erase_persons($1, $2, $3)', each.nspname)
        INTO lost USING for_tenant, profile_ids, addresses, lost;
    END LOOP;
    DELETE FROM ops.rejected_record AS r
    WHERE r.tenant_id = for_tenant AND r.profile_ids && erase_person.profile_ids;
    GET DIAGNOSTICS number = ROW_COUNT;
    lost := lost || jsonb_build_object('ops.rejected_record', number);
    -- Triggers of the last two delete from others, where it would be counted by nobody.
    FOR each IN
        SELECT n.nspname, c.relname
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND 2 = (
            SELECT count(*) FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname IN ('tenant_id', 'profile_id') AND NOT a.attisdropped)
        ORDER BY c.relname = 'cdp_profiles', c.relname = 'transactions', 1, 2
    LOOP
        EXECUTE format('DELETE FROM %I.%I WHERE tenant_id = $1 AND profile_id = ANY ($2)', each.nspname, each.relname)
        USING for_tenant, profile_ids;
        GET DIAGNOSTICS number = ROW_COUNT;
        lost := lost || jsonb_build_object(format('%s.%s', each.nspname, each.relname), number);
    END LOOP;
END
$$;

-- Take back the tombstones of these persons: whoever was erased by mistake may be read again. Returns their profiles. The
-- platform's role may not delete tombstones otherwise.
CREATE FUNCTION ops.lift_erasure(for_tenant pg_catalog.text, asked pg_catalog.text[]) RETURNS SETOF pg_catalog.text
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
    WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND document_key = ANY (asked);
    SELECT pg_catalog.array_agg(document_key) INTO lifted FROM ops.erased_document
    WHERE tenant_id = for_tenant AND source = 'cdp_profile' AND person = ANY (persons);
    DELETE FROM ops.erased_document WHERE tenant_id = for_tenant AND person = ANY (persons);
    SELECT pg_catalog.array_agg(pg_catalog.sha256(s.salt || pg_catalog.convert_to(p, 'UTF8'))) INTO hashes
    FROM referrals.address_salt AS s, pg_catalog.unnest(lifted) AS p WHERE s.tenant_id = for_tenant;
    -- An address may be that of another who is erased.
    DELETE FROM referrals.erased_address
    WHERE tenant_id = for_tenant AND profile_hashes <@ hashes;
    UPDATE referrals.erased_address SET profile_hashes = ARRAY(
        SELECT p FROM pg_catalog.unnest(profile_hashes) AS p WHERE p <> ALL (hashes))
    WHERE tenant_id = for_tenant AND profile_hashes && hashes;
    RETURN QUERY SELECT p FROM pg_catalog.unnest(lifted) AS p ORDER BY p;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.erase_person, ops.lift_erasure, embeddings.erase_persons, referrals.erase_persons FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.erase_person, ops.lift_erasure, embeddings.erase_persons, referrals.erase_persons TO cdp_platform;

-- Rows that come by any way find the tombstones --------------------------------------------------------------------------------

-- Keep erasures of the tenants of new rows waiting until the end of the transaction, in one order for all. A trigger that
-- looks for tombstones does it after this, so it sees those of every erasure that has ended.
CREATE FUNCTION ops.share_erasure_locks(tenant_ids text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    each text;
BEGIN
    FOR each IN SELECT DISTINCT t FROM unnest(tenant_ids) AS t ORDER BY t LOOP
        PERFORM pg_advisory_xact_lock_shared(ops.erasure_lock(each));
    END LOOP;
END
$$;

-- Arguments: pairs of a source and the column of the table that names a document of it.
CREATE OR REPLACE FUNCTION ops.keep_erased_out() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_there boolean;
    at int := 0;
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    WHILE at < TG_NARGS LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM new_rows AS n JOIN ops.erased_document AS e ON e.tenant_id = n.tenant_id'
            ' AND e.source = %L AND e.document_key = n.%I)', TG_ARGV[at], TG_ARGV[at + 1]) INTO is_there;
        IF is_there THEN
            EXECUTE format(
                'DELETE FROM %1$I.%2$I AS t USING ops.erased_document AS e, new_rows AS n'
                ' WHERE t.tenant_id = n.tenant_id AND t.%4$I = n.%4$I'
                ' AND e.tenant_id = n.tenant_id AND e.source = %3$L AND e.document_key = n.%4$I',
                TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[at], TG_ARGV[at + 1]);
        END IF;
        at := at + 2;
    END LOOP;
    RETURN NULL;
END
$$;

-- A profile that comes with the key of an erased one, its own or its root's, is erased with all that is known of the person.
CREATE FUNCTION customers.keep_erased_profiles_out() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    each record;
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    FOR each IN
        SELECT DISTINCT n.tenant_id, array_remove(ARRAY[n.profile_id, nullif(n.root_profile_id, '')], NULL) AS profile_ids
        FROM new_rows AS n, LATERAL (VALUES (n.profile_id), (n.root_profile_id)) AS v (key), ops.erased_document AS e
        WHERE e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = v.key
    LOOP
        PERFORM ops.erase_person(each.tenant_id, each.profile_ids);
    END LOOP;
    RETURN NULL;
END
$$;

-- A rejected profile says who is one person, too. Any other rejected document of an erased person just goes.
CREATE OR REPLACE FUNCTION ops.keep_erased_rejections_out() RETURNS trigger LANGUAGE plpgsql AS $$
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
            PERFORM ops.erase_person(each.tenant_id, each.profile_ids);
        END IF;
        DELETE FROM ops.rejected_record AS r
        WHERE r.tenant_id = each.tenant_id AND r.source = each.source AND r.document_key = each.document_key;
    END LOOP;
    RETURN NULL;
END
$$;

-- What was merged changes in rows that are here already, so updates are looked at like new rows.
DROP TRIGGER keep_erased_out ON customers.cdp_profiles;
DROP TRIGGER keep_erased_out ON customers.transactions;
DROP TRIGGER keep_erased_out ON customers.customer_metrics;
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.cdp_profiles REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.keep_erased_profiles_out();
CREATE TRIGGER keep_erased_out_again AFTER UPDATE ON customers.cdp_profiles REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION customers.keep_erased_profiles_out();
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.transactions REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out('cdp_profile', 'profile_id', 'cdp_profile2conversion', 'line_id');
CREATE TRIGGER keep_erased_out_again AFTER UPDATE ON customers.transactions REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out('cdp_profile', 'profile_id', 'cdp_profile2conversion', 'line_id');
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.touched_customer REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out('cdp_profile', 'profile_id');
CREATE TRIGGER keep_erased_out_again AFTER UPDATE ON ops.rejected_record REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_rejections_out();
CREATE TRIGGER keep_erased_out AFTER INSERT ON embeddings.embedding_job REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION embeddings.keep_erased_out('n.kind', 'entity_id');
-- Tables of figures, those that came before this too.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT n.nspname, c.relname
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'customers' AND c.relkind = 'r' AND NOT EXISTS (
            SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = 'keep_erased_out')
          AND 2 = (SELECT count(*) FROM pg_attribute AS a
                   WHERE a.attrelid = c.oid AND a.attname IN ('tenant_id', 'profile_id') AND NOT a.attisdropped)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER keep_erased_out AFTER INSERT ON %I.%I REFERENCING NEW TABLE AS new_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out(''cdp_profile'', ''profile_id'')',
            each.nspname, each.relname);
    END LOOP;
END
$$;

-- What slipped in before: a merge that came after the erasure, and rows that came while it ran. Merges of documents that were
-- left out are not known here; the next sync reads them again, since no tombstone has a revision yet.
DO $$
DECLARE
    each record;
    erased record;
BEGIN
    FOR each IN SELECT tenant_id FROM ops.tenant ORDER BY 1 LOOP
        -- The owner too sees rows of this tenant only.
        PERFORM set_config('app.tenant_id', each.tenant_id, true);
        UPDATE ops.erased_document SET person = document_key WHERE source = 'cdp_profile';
        -- Records from before it was kept whom they are about.
        UPDATE ops.rejected_record SET profile_ids = array_remove(ARRAY[
            CASE WHEN source = 'cdp_profile' THEN document_key END,
            substring(document::text FROM '"rootProfileId": ?"([^"]+)"'),
            substring(document::text FROM '"_from": ?"cdp_profile/([^"]+)"')], NULL)
        WHERE source IN ('cdp_profile', 'cdp_profile2conversion') AND profile_ids = '{}' AND code <> 'foreign_tenant';
        FOR erased IN
            SELECT document_key FROM ops.erased_document WHERE tenant_id = each.tenant_id AND source = 'cdp_profile'
        LOOP
            PERFORM ops.erase_person(each.tenant_id, ARRAY[erased.document_key]);
        END LOOP;
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
END
$$;
