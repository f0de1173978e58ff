-- Search: the vectors of a large tenant get an index of their own. In one index over all tenants a search ends among the
-- vectors of others, and in a graph (HNSW) it ends in a group of vectors that has no way out to the nearer ones. An index of
-- lists (IVFFlat) compares the query with the centre of every list, so it begins in the right place.

DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
        WHERE i.indrelid = 'embeddings.embedding'::regclass AND a.amname = 'hnsw'
    LOOP
        EXECUTE format('DROP INDEX embeddings.%I', each.relname);
    END LOOP;
END
$$;
DROP FUNCTION embeddings.build_vector_index, embeddings.drop_vector_index, embeddings.vector_index,
    embeddings.vectors_up_to, embeddings.waiting_up_to;

-- How the name of the index of a tenant, kind and model begins; the number of its lists follows. A tenant's id is too long
-- for a name.
CREATE FUNCTION embeddings.vector_index(for_tenant text, of_kind text, of_model int) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN pg_catalog.format('vectors_%s_%s_%s_', of_kind, of_model, pg_catalog.left(pg_catalog.md5(for_tenant), 16));

-- Build the missing indexes of one kind and model: for each tenant with enough vectors one with as many lists as the square
-- root of their number, and for a tenant whose vectors have become four times as many a new one beside the old. Returns how
-- many were built. The platform's role owns no table, so this and the next function do what only an owner may. Writers wait
-- while an index is built; readers don't.
CREATE FUNCTION embeddings.build_vector_indexes(of_kind pg_catalog.text, of_model int, at_least int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET maintenance_work_mem = '1GB' AS $$
DECLARE
    size int := (SELECT m.dimensions FROM embeddings.embedding_model AS m WHERE m.model_id = of_model);
    kind_of_vector pg_catalog.text := CASE WHEN size <= 2000 THEN 'vector' ELSE 'halfvec' END;
    -- Types and operator classes of pgvector are where the extension is.
    pgvector pg_catalog.text := (
        SELECT n.nspname FROM pg_catalog.pg_extension AS e
        JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'vector');
    tenant record;
    held bigint;
    lists int;
    statement pg_catalog.text;
    built int := 0;
BEGIN
    IF size IS NULL OR of_kind NOT IN ('profile', 'transaction', 'event', 'product') THEN
        RAISE EXCEPTION 'no model % or no kind %', of_model, of_kind;
    END IF;
    -- Two who build at once would both do the work, and one of them fail at its end.
    PERFORM pg_catalog.pg_advisory_xact_lock(
        pg_catalog.hashtextextended(pg_catalog.format('cdp_platform:vectors_%s_%s', of_kind, of_model), 0::bigint));
    FOR tenant IN
        SELECT t.tenant_id, found.lists, found.vectors
        FROM ops.tenant AS t
        LEFT JOIN LATERAL (
            SELECT pg_catalog.split_part(c.relname, '_', 5)::int AS lists, c.reltuples::bigint AS vectors
            FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
            WHERE i.indrelid = 'embeddings.embedding'::pg_catalog.regclass AND i.indisvalid AND pg_catalog.starts_with(
                c.relname::pg_catalog.text, embeddings.vector_index(t.tenant_id, of_kind, of_model))
            ORDER BY 1 DESC LIMIT 1
        ) AS found ON true
    LOOP
        held := tenant.vectors;
        IF held IS NULL THEN
            -- Counted to the end only where it is enough.
            SELECT pg_catalog.count(*) INTO held FROM (
                SELECT FROM embeddings.embedding AS e
                WHERE e.tenant_id = tenant.tenant_id AND e.kind = of_kind AND e.model_id = of_model LIMIT at_least
            ) AS enough;
            CONTINUE WHEN held < at_least;
            SELECT pg_catalog.count(*) INTO held FROM embeddings.embedding AS e
            WHERE e.tenant_id = tenant.tenant_id AND e.kind = of_kind AND e.model_id = of_model;
        END IF;
        -- pgvector needs memory for lists x lists x 50 distances when it builds: 200 MB for 1,000 lists.
        lists := least(1000, greatest(1, pg_catalog.round(pg_catalog.sqrt(held::pg_catalog.float8))::int));
        CONTINUE WHEN lists < 2 * tenant.lists;
        statement := pg_catalog.format(
            'CREATE INDEX IF NOT EXISTS %1$I ON embeddings.embedding USING ivfflat'
            ' ((vector::%2$I.%3$I(%4$s)) %2$I.%5$I) WITH (lists = %6$s)'
            ' WHERE tenant_id = %7$L AND kind = %8$L AND model_id = %9$s',
            embeddings.vector_index(tenant.tenant_id, of_kind, of_model) || lists, pgvector, kind_of_vector, size,
            kind_of_vector || '_cosine_ops', lists, tenant.tenant_id, of_kind, of_model);
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN disk_full OR out_of_memory THEN
            -- Containers often have little shared memory, which only workers beside this one need.
            SET LOCAL max_parallel_maintenance_workers = 0;
            EXECUTE statement;
        END;
        built := built + 1;
    END LOOP;
    RETURN built;
END
$$;

-- Drop one of these indexes by its name; no other.
CREATE FUNCTION embeddings.drop_vector_index(index_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF index_name !~ '^vectors_[a-z]+_\d+_[0-9a-f]{16}_\d+$' THEN
        RAISE EXCEPTION '% is no index of vectors', index_name;
    END IF;
    EXECUTE pg_catalog.format('DROP INDEX IF EXISTS embeddings.%I', index_name);
END
$$;
REVOKE EXECUTE ON FUNCTION embeddings.build_vector_indexes, embeddings.drop_vector_index(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.build_vector_indexes, embeddings.drop_vector_index(text) TO cdp_platform;

-- The nearest vectors of a tenant by its index, or nothing if there is no index or if it is not sure to have found them.
--
-- It is sure if two things hold. Three times as many lists give the same similarities. And the last of them is greater than
-- chance would have it: if the similarities of vectors that have nothing to do with this one are distributed normally, after
-- Fisher's z transformation (Metron 1, 1921), a tenth of a vector is as similar, or less. Neighbours that do not stand out may
-- be in any list, and then it is right to compare all vectors.
CREATE FUNCTION embeddings.nearest_by_index(
    for_tenant text, of_kind text, of_model int, near vector, at_most int, excluded text[]
) RETURNS TABLE (entity_id text, similarity float8)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    -- A cosine of 1 has no Fisher transform.
    almost_one CONSTANT float8 := 0.9999;
    dimensions int := (SELECT m.dimensions FROM embeddings.embedding_model AS m WHERE m.model_id = of_model);
    -- Written out: the index is a partial one, which the planner takes for no unknown values.
    vectors text := format('embeddings.embedding WHERE tenant_id = %L AND kind = %L AND model_id = %s',
                           for_tenant, of_kind, of_model);
    lists int;
    held float8;
    wanted int := 4;
    found text[];
    similarities float8[];
    before float8[];
    least_similar float8;
    mean float8;
    deviation float8;
BEGIN
    SELECT split_part(c.relname, '_', 5)::int AS lists_of_index, c.reltuples INTO lists, held
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'embeddings.embedding'::regclass AND i.indisvalid
      AND starts_with(c.relname::text, embeddings.vector_index(for_tenant, of_kind, of_model))
    ORDER BY 1 DESC LIMIT 1;
    -- To look through more than a fifth of the lists takes as long as to compare all vectors.
    WHILE wanted <= greatest(lists / 5, 12) LOOP
        PERFORM set_config('ivfflat.probes', wanted::text, true);
        EXECUTE format(
            'SELECT array_agg(f.entity_id ORDER BY f.similarity DESC, f.entity_id),'
            ' array_agg(f.similarity ORDER BY f.similarity DESC) FROM ('
            ' SELECT entity_id, 1 - (vector <=> $1) AS similarity FROM %1$s AND entity_id <> ALL ($2)'
            ' ORDER BY vector::%2$s(%3$s) <=> $1::%2$s(%3$s) LIMIT $3) AS f',
            vectors, CASE WHEN dimensions <= 2000 THEN 'vector' ELSE 'halfvec' END, dimensions)
        INTO found, similarities USING near, excluded, at_most;
        IF cardinality(found) = at_most AND similarities = before THEN
            least_similar := greatest(similarities[at_most], -almost_one);
            IF least_similar < almost_one THEN
                EXECUTE format(
                    'SELECT avg(atanh(greatest(s, -$3))), stddev_pop(atanh(greatest(s, -$3))) FROM ('
                    ' SELECT 1 - (vector <=> $1) AS s FROM %s ORDER BY entity_id LIMIT 100) AS background WHERE s < $2',
                    vectors)
                INTO mean, deviation USING near, least_similar, almost_one;
                -- Also if there is no deviation to go by.
                IF coalesce(held * erfc(
                    (atanh(least_similar) - mean) / (nullif(deviation, 0) * sqrt(2.0::float8))) / 2, 1) >= 0.1
                THEN
                    RETURN;
                END IF;
            END IF;
            RETURN QUERY SELECT * FROM unnest(found, similarities);
            RETURN;
        END IF;
        before := similarities;
        wanted := 3 * wanted;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION embeddings.nearest_by_index FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embeddings.nearest_by_index TO cdp_platform;
