-- Texts of purchases that say what a person would say, and indexes of a million vectors.

-- Names of products ----------------------------------------------------------------------------------------------------

CREATE TABLE customers.product_name (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    product_id text NOT NULL,
    name text,
    keywords text[] NOT NULL DEFAULT '{}',
    updated_at timestamptz,
    PRIMARY KEY (tenant_id, product_id)
);
COMMENT ON TABLE customers.product_name IS 'One row per product of the CDP (collection cdp_productitem): what people call it. It stays when the product is gone.';
COMMENT ON COLUMN customers.product_name.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN customers.product_name.product_id IS 'The _key of the product, as transactions name it.';
COMMENT ON COLUMN customers.product_name.name IS 'Its title; NULL where the CDP has none that is text.';
COMMENT ON COLUMN customers.product_name.keywords IS 'Its keywords, such as coffee.';
COMMENT ON COLUMN customers.product_name.updated_at IS 'When the CDP last changed the product; NULL where it does not say.';
SELECT ops.isolate_tenants('customers.product_name');

-- Texts of purchases -----------------------------------------------------------------------------------------------------

-- Whether people neither know an id nor type it: 16 hexadecimal digits or more with a letter among them, or 20 letters and
-- digits in one piece.
CREATE FUNCTION embeddings.is_opaque(id text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN id ~* '^(?=.*[a-f])[0-9a-f-]{16,}$|^[0-9a-z]{20,}$';

-- What a person would say of a purchase: what was done, with which product, for how much and when, and the number of the
-- order. Asset groups have no names here. The segments of the buyer are in the text of the profile.
ALTER FUNCTION embeddings.transaction_text RENAME TO transaction_text_before;
CREATE FUNCTION embeddings.transaction_text(
    event_name text, product_name text, keywords text[], quantity numeric, amount numeric, currency text,
    occurred_at timestamptz, order_id text, closed_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN closed_at IS NULL THEN embeddings.without_emails(left(concat_ws(
    '; ', replace(coalesce(event_name, 'transaction'), '-', ' '), product_name,
    nullif(array_to_string(keywords, ', '), ''), CASE WHEN quantity > 1 THEN trim_scale(quantity) || ' pieces' END,
    nullif(concat_ws(' ', trim_scale(amount), currency), ''), to_char(occurred_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'),
    CASE WHEN NOT embeddings.is_opaque(order_id) THEN 'order ' || order_id END
), 40000)) END;
CREATE OR REPLACE VIEW embeddings.transaction_texts WITH (security_invoker = true) AS
SELECT r.tenant_id, 'transaction'::text AS kind, r.line_id AS entity_id,
       embeddings.transaction_text(
           r.event_name, n.name, n.keywords, r.quantity, r.amount, r.currency, r.occurred_at, r.order_id, r.closed_at)
           AS content
FROM customers.transactions AS r
LEFT JOIN customers.product_name AS n ON n.tenant_id = r.tenant_id AND n.product_id = r.product_id;
DROP FUNCTION embeddings.transaction_text_before;

-- The comparison of an update needs no name: another product has another id. The nightly comparison of texts and vectors
-- finds the purchases of a product that was renamed.
CREATE OR REPLACE TRIGGER embed_updated AFTER UPDATE ON customers.transactions
REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION embeddings.enqueue_updated(
    'transaction', 'line_id',
    'embeddings.transaction_text({r}.event_name, {r}.product_id, NULL, {r}.quantity, {r}.amount, {r}.currency, '
    '{r}.occurred_at, {r}.order_id, {r}.closed_at)');

-- Indexes of vectors -------------------------------------------------------------------------------------------------

-- An index holds its vectors in half precision. That halves its size and makes searches faster. It costs no recall, because a
-- search takes half as many more from the index as it returns, and ranks them by the whole vectors.
-- The next run of the embeddings builds the indexes anew; until then searches compare all vectors.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
        WHERE i.indrelid = 'embeddings.embedding'::regclass AND a.amname = 'ivfflat'
          AND pg_get_indexdef(i.indexrelid) !~ 'halfvec_cosine_ops'
    LOOP
        EXECUTE format('DROP INDEX embeddings.%I', each.relname);
    END LOOP;
END
$$;

-- Kilobytes that pgvector needs to find the centres of so many lists: a sample of 50 vectors for each list, the distance of
-- each of these from each centre, and of the centres from each other. 245 MB for 1,000 lists of 256 dimensions.
CREATE FUNCTION embeddings.vector_index_kilobytes(lists int, dimensions int) RETURNS int
LANGUAGE sql IMMUTABLE
RETURN (greatest(50 * lists, 10000)::bigint * (2 * dimensions + 4 * lists + 32)
        + lists::bigint * (20 * dimensions + 8 * lists)) / 1024 + 16 * 1024;

-- Build the missing indexes of one kind and model: for each tenant with enough vectors one with as many lists as the square
-- root of their number, and for a tenant whose vectors have become four times as many a new one beside the old. Returns how
-- many were built. The platform's role owns no table, so this and the next function do what only an owner may. Writers wait
-- while an index is built; readers don't.
CREATE OR REPLACE FUNCTION embeddings.build_vector_indexes(of_kind pg_catalog.text, of_model int, at_least int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    size int := (SELECT m.dimensions FROM embeddings.embedding_model AS m WHERE m.model_id = of_model);
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
        -- The memory that a build needs grows with the square of the lists.
        lists := least(1000, greatest(1, pg_catalog.round(pg_catalog.sqrt(held::pg_catalog.float8))::int));
        CONTINUE WHEN lists < 2 * tenant.lists;
        -- As much as the build needs, or what the server gives if that is more.
        PERFORM pg_catalog.set_config('maintenance_work_mem', greatest(
            (SELECT s.setting::int FROM pg_catalog.pg_settings AS s WHERE s.name = 'maintenance_work_mem'),
            embeddings.vector_index_kilobytes(lists, size))::pg_catalog.text || 'kB', true);
        statement := pg_catalog.format(
            'CREATE INDEX IF NOT EXISTS %1$I ON embeddings.embedding USING ivfflat'
            ' ((vector::%2$I.halfvec(%3$s)) %2$I.halfvec_cosine_ops) WITH (lists = %4$s)'
            ' WHERE tenant_id = %5$L AND kind = %6$L AND model_id = %7$s',
            embeddings.vector_index(tenant.tenant_id, of_kind, of_model) || lists, pgvector, size, lists,
            tenant.tenant_id, of_kind, of_model);
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

-- The nearest vectors of a tenant by its index, or nothing if there is no index or if it is not sure to have found them.
--
-- It is sure if two things hold. Three times as many lists give the same similarities. And the last of them is greater than
-- chance would have it: if the similarities of vectors that have nothing to do with this one are distributed normally, after
-- Fisher's z transformation (Metron 1, 1921), a tenth of a vector is as similar, or less. Neighbours that do not stand out may
-- be in any list, and then it is right to compare all vectors.
CREATE OR REPLACE FUNCTION embeddings.nearest_by_index(
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
    IF lists IS NULL THEN
        RETURN;
    END IF;
    -- To look through more than a fifth of the lists takes as long as to compare all vectors.
    WHILE wanted <= greatest(lists / 5, 12) LOOP
        PERFORM set_config('ivfflat.probes', wanted::text, true);
        EXECUTE format(
            'SELECT (array_agg(f.entity_id ORDER BY f.similarity DESC, f.entity_id))[:$3],'
            ' (array_agg(f.similarity ORDER BY f.similarity DESC))[:$3] FROM ('
            ' SELECT entity_id, 1 - (vector <=> $1) AS similarity FROM %1$s AND entity_id <> ALL ($2)'
            ' ORDER BY vector::halfvec(%2$s) <=> $1::halfvec(%2$s) LIMIT $3 + greatest($3 / 2, 5)) AS f',
            vectors, dimensions)
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
