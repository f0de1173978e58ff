-- E-mail addresses are known by their hash alone, under a secret of the tenant, in every room: the secrets and the hash move from
-- the schema referrals to the schema ops. Secrets stay the same, so the hashes do too.

ALTER TABLE referrals.address_salt SET SCHEMA ops;
ALTER FUNCTION referrals.address_hash(bytea, text) SET SCHEMA ops;

-- The tenant's secret, made at the first use. Inside a transaction of the tenant.
CREATE FUNCTION ops.salt_of(for_tenant text) RETURNS bytea
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    found bytea;
BEGIN
    SELECT salt INTO found FROM ops.address_salt WHERE tenant_id = for_tenant;
    IF found IS NULL THEN
        INSERT INTO ops.address_salt (tenant_id, salt)
        VALUES (for_tenant, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        ON CONFLICT DO NOTHING;
        SELECT salt INTO found FROM ops.address_salt WHERE tenant_id = for_tenant;
    END IF;
    RETURN found;
END
$$;
REVOKE EXECUTE ON FUNCTION ops.salt_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.salt_of TO cdp_platform;

-- What names the table and the function where they were: the same as before, but for their schema.
CREATE OR REPLACE FUNCTION referrals.keep_erased_signups_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF EXISTS (SELECT FROM referrals.erased_address) AND EXISTS (SELECT FROM new_rows WHERE email IS NOT NULL) THEN
        WITH erased AS (
            UPDATE referrals.signup_event AS s SET email = NULL, erased_at = now()
            FROM new_rows AS n JOIN ops.address_salt AS a ON a.tenant_id = n.tenant_id
                JOIN referrals.erased_address AS e
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

CREATE OR REPLACE FUNCTION referrals.erase_persons(for_tenant text, profile_ids text[], addresses text[])
RETURNS TABLE (store text, lost bigint)
LANGUAGE plpgsql AS $$
DECLARE
    signups text[];
    gone text[];
BEGIN
    IF cardinality(addresses) > 0 THEN
        INSERT INTO referrals.erased_address AS e (tenant_id, address_hash, profile_hashes)
        SELECT for_tenant, hash, ARRAY(
            SELECT sha256(secret.salt || convert_to(p, 'UTF8')) FROM unnest(erase_persons.profile_ids) AS p ORDER BY 1)
        FROM (SELECT ops.salt_of(for_tenant)) AS secret (salt),
            LATERAL (SELECT DISTINCT ops.address_hash(secret.salt, a) FROM unnest(addresses) AS a) AS hashed (hash)
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

CREATE OR REPLACE FUNCTION ops.lift_erasure(for_tenant pg_catalog.text, asked pg_catalog.text[]) RETURNS SETOF pg_catalog.text
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
    FROM ops.address_salt AS s, pg_catalog.unnest(lifted) AS p WHERE s.tenant_id = for_tenant;
    -- An address may be that of another who is erased.
    DELETE FROM referrals.erased_address
    WHERE tenant_id = for_tenant AND profile_hashes <@ hashes;
    UPDATE referrals.erased_address SET profile_hashes = ARRAY(
        SELECT p FROM pg_catalog.unnest(profile_hashes) AS p WHERE p <> ALL (hashes))
    WHERE tenant_id = for_tenant AND profile_hashes && hashes;
    RETURN QUERY SELECT p FROM pg_catalog.unnest(lifted) AS p ORDER BY p;
END
$$;
