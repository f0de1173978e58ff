-- The queue of texts: a row per batch of texts that changed together. Only texts that a provider refused, or whose workers
-- vanished, have a row of their own in embeddings.embedding_job.

CREATE TABLE embeddings.text_batch (
    tenant_id text NOT NULL,
    batch_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL CHECK (kind IN ('profile', 'transaction', 'event', 'product')),
    arrival bigint NOT NULL DEFAULT nextval('embeddings.arrival'),
    entity_ids text[] NOT NULL CHECK (cardinality(entity_ids) > 0),
    attempts int NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    claim uuid,
    lease_until timestamptz,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, batch_id),
    CHECK ((claim IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE embeddings.text_batch IS 'One row per batch of texts that wait for their vectors, or that a worker has claimed. A text can be in several batches; its vector is made of the text as it is then.';
COMMENT ON COLUMN embeddings.text_batch.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN embeddings.text_batch.batch_id IS 'Number of the batch.';
COMMENT ON COLUMN embeddings.text_batch.kind IS 'profile, transaction, event or product.';
COMMENT ON COLUMN embeddings.text_batch.arrival IS 'Place in the queue; parts of one batch share it.';
COMMENT ON COLUMN embeddings.text_batch.entity_ids IS 'Keys of the rows that the texts are made of; a statement writes at most 500 into one row.';
COMMENT ON COLUMN embeddings.text_batch.attempts IS 'How many workers vanished while they had the batch.';
COMMENT ON COLUMN embeddings.text_batch.not_before IS 'The batch is not claimed before this moment.';
COMMENT ON COLUMN embeddings.text_batch.claim IS 'The claim of the worker that has the batch; NULL while it waits.';
COMMENT ON COLUMN embeddings.text_batch.lease_until IS 'Until when the claim holds; after that another worker may take the batch.';
COMMENT ON COLUMN embeddings.text_batch.enqueued_at IS 'When the texts came into the queue.';
CREATE INDEX text_batch_in_order ON embeddings.text_batch (tenant_id, kind, arrival, batch_id);
SELECT ops.isolate_tenants('embeddings.text_batch');
CREATE POLICY queue ON embeddings.text_batch FOR SELECT TO CURRENT_USER USING (true);

-- Put these entities into the queue. Only inserts rows, so nobody waits for a worker. Returns how many.
CREATE OR REPLACE FUNCTION embeddings.enqueue(for_tenant text, of_kind text, entity_ids text[]) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH done AS (
        INSERT INTO embeddings.text_batch (tenant_id, kind, entity_ids)
        SELECT for_tenant, of_kind, ids
        FROM (
            SELECT array_agg(id ORDER BY place) AS ids, (place - 1) / 500 AS part
            FROM unnest(entity_ids) WITH ORDINALITY AS e (id, place) GROUP BY part ORDER BY part
        ) AS parts
        RETURNING 1
    )
    SELECT coalesce(cardinality(entity_ids), 0)::bigint FROM (SELECT count(*) FROM done) AS written;
END;

-- Take the batches that wait longest, until they have at_most texts together; of the last one only the part that fits.
CREATE FUNCTION embeddings.claim_batches(
    for_tenant text, of_kind text, at_most int, by_claim uuid, lease interval, OUT batch_id bigint, OUT entity_ids text[]
) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    waiting CURSOR FOR
        SELECT b.batch_id, b.arrival, b.entity_ids, b.attempts, b.not_before, b.enqueued_at FROM embeddings.text_batch AS b
        WHERE b.tenant_id = for_tenant AND b.kind = of_kind AND b.claim IS NULL AND b.not_before <= now()
        ORDER BY b.arrival, b.batch_id FOR UPDATE SKIP LOCKED;
    batch record;
BEGIN
    OPEN waiting;
    WHILE at_most > 0 LOOP
        FETCH waiting INTO batch;
        EXIT WHEN NOT FOUND;
        batch_id := batch.batch_id;
        entity_ids := batch.entity_ids[:at_most];
        IF cardinality(batch.entity_ids) > at_most THEN
            INSERT INTO embeddings.text_batch (tenant_id, kind, arrival, entity_ids, attempts, not_before, enqueued_at)
            VALUES (for_tenant, of_kind, batch.arrival, batch.entity_ids[at_most + 1 :], batch.attempts, batch.not_before,
                    batch.enqueued_at);
            UPDATE embeddings.text_batch AS b
            SET claim = by_claim, lease_until = now() + lease, entity_ids = batch.entity_ids[:at_most]
            WHERE CURRENT OF waiting;
        ELSE
            UPDATE embeddings.text_batch AS b SET claim = by_claim, lease_until = now() + lease WHERE CURRENT OF waiting;
        END IF;
        at_most := at_most - cardinality(entity_ids);
        RETURN NEXT;
    END LOOP;
    CLOSE waiting;
END
$$;

CREATE OR REPLACE FUNCTION embeddings.waiting() RETURNS TABLE (tenant_id pg_catalog.text, kind pg_catalog.text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT t.tenant_id, k.kind
    FROM ops.tenant AS t CROSS JOIN (VALUES ('profile'), ('transaction'), ('event'), ('product')) AS k (kind)
    WHERE t.status = 'active' AND (
        EXISTS (
            SELECT FROM embeddings.text_batch AS b
            WHERE b.tenant_id = t.tenant_id AND b.kind = k.kind
              AND (b.claim IS NULL AND b.not_before <= pg_catalog.now() OR b.lease_until < pg_catalog.now())
        ) OR EXISTS (
            SELECT FROM embeddings.embedding_job AS j
            WHERE j.tenant_id = t.tenant_id AND j.kind = k.kind AND j.status = 'failed' AND j.not_before <= pg_catalog.now()
        )
    );
END;

-- Keep one tenant's queue and vectors in step with its texts: what is missing or stale and does not wait yet is enqueued, what
-- belongs to nothing is deleted. A text that was refused is left until it changes. Returns (enqueued, removed).
CREATE OR REPLACE FUNCTION embeddings.reconcile(for_tenant text, of_kind text, OUT enqueued bigint, OUT removed bigint)
LANGUAGE plpgsql SET enable_nestloop = off SET work_mem = '64MB' AS $$
DECLARE
    gone text[];
BEGIN
    SELECT array_agg(k.entity_id) INTO gone
    FROM (
        SELECT entity_id FROM embeddings.embedding_job WHERE tenant_id = for_tenant AND kind = of_kind
        UNION SELECT entity_id FROM embeddings.embedding WHERE tenant_id = for_tenant AND kind = of_kind
        UNION SELECT entity_id FROM embeddings.passage WHERE tenant_id = for_tenant AND kind = of_kind
    ) AS k
    LEFT JOIN embeddings.entity_text AS t
        ON t.tenant_id = for_tenant AND t.kind = of_kind AND t.entity_id = k.entity_id
    WHERE t.content IS NULL;
    removed := coalesce(cardinality(gone), 0);
    IF removed > 0 THEN
        PERFORM embeddings.forget(for_tenant, of_kind, gone);
    END IF;
    -- Batches that a worker has are not counted as waiting: the worker may know nothing of a model that was added since.
    SELECT embeddings.enqueue(for_tenant, of_kind, array_agg(DISTINCT t.entity_id)) INTO enqueued
    FROM embeddings.entity_text AS t
    CROSS JOIN embeddings.embedding_model AS m
    LEFT JOIN embeddings.embedding AS e
        ON e.tenant_id = for_tenant AND e.kind = of_kind AND e.entity_id = t.entity_id AND e.model_id = m.model_id
    LEFT JOIN embeddings.passage AS p
        ON p.tenant_id = for_tenant AND p.kind = of_kind AND p.entity_id = t.entity_id
    LEFT JOIN embeddings.embedding_job AS j
        ON j.tenant_id = for_tenant AND j.kind = of_kind AND j.entity_id = t.entity_id
    LEFT JOIN (
        SELECT DISTINCT unnest(b.entity_ids) AS entity_id FROM embeddings.text_batch AS b
        WHERE b.tenant_id = for_tenant AND b.kind = of_kind AND b.claim IS NULL
    ) AS w ON w.entity_id = t.entity_id
    WHERE t.tenant_id = for_tenant AND t.kind = of_kind AND t.content IS NOT NULL AND m.state <> 'retired'
      AND w.entity_id IS NULL
      AND (e.content_hash IS DISTINCT FROM embeddings.text_hash(t.content, m.max_characters)
           OR p.content IS DISTINCT FROM left(t.content, 20000))
      AND (j.status IS NULL OR j.content_hash IS DISTINCT FROM embeddings.text_hash(t.content, m.max_characters));
END
$$;

-- Erasure: the keys of a person leave the arrays. Declared last, so that it comes first and finds the batches before a worker
-- looks for texts that are gone.
CREATE FUNCTION embeddings.leave_out_of_batches(for_tenant text, of_kind text, keys text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    number bigint;
BEGIN
    SELECT count(*) INTO number FROM embeddings.text_batch AS b, unnest(b.entity_ids) AS id
    WHERE b.tenant_id = for_tenant AND b.kind = of_kind AND id = ANY (keys);
    IF number > 0 THEN
        DELETE FROM embeddings.text_batch AS b
        WHERE b.tenant_id = for_tenant AND b.kind = of_kind AND b.entity_ids <@ keys;
        UPDATE embeddings.text_batch AS b
        SET entity_ids = ARRAY(
            SELECT id FROM unnest(b.entity_ids) WITH ORDINALITY AS e (id, place) WHERE id <> ALL (keys) ORDER BY place)
        WHERE b.tenant_id = for_tenant AND b.kind = of_kind AND b.entity_ids && keys;
    END IF;
    RETURN number;
END
$$;

CREATE FUNCTION embeddings.erase_batches(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    SELECT coalesce(sum(embeddings.leave_out_of_batches(for_tenant, of_kind, keys)), 0)::bigint
    FROM (
        SELECT CASE source WHEN 'cdp_profile' THEN 'profile' ELSE 'transaction' END, array_agg(document_key)
        FROM ops.erased_document
        WHERE tenant_id = for_tenant AND source IN ('cdp_profile', 'cdp_profile2conversion') AND person IN (
            SELECT e.person FROM ops.erased_document AS e
            WHERE e.tenant_id = for_tenant AND e.source = 'cdp_profile' AND e.document_key = ANY ((erase_batches.person).profile_ids))
        GROUP BY 1
    ) AS erased (of_kind, keys);
END;

-- Once per statement. Where nobody was erased, that is one look-up.
CREATE FUNCTION embeddings.keep_erased_out_of_batches() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(
        ARRAY(SELECT DISTINCT tenant_id FROM new_rows WHERE kind IN ('profile', 'transaction')));
    IF EXISTS (SELECT FROM ops.erased_document) THEN
        PERFORM embeddings.leave_out_of_batches(erased.tenant_id, erased.kind, erased.keys)
        FROM (
            SELECT n.tenant_id, n.kind, array_agg(DISTINCT id) AS keys
            FROM new_rows AS n, unnest(n.entity_ids) AS id, ops.erased_document AS e
            WHERE e.tenant_id = n.tenant_id AND e.document_key = id AND (n.kind, e.source) IN (
                ('profile', 'cdp_profile'), ('transaction', 'cdp_profile2conversion'))
            GROUP BY n.tenant_id, n.kind
        ) AS erased;
    END IF;
    RETURN NULL;
END
$$;
SELECT ops.keep_erased_out(
    'embeddings.text_batch', about_persons => 'kind IN (''profile'', ''transaction'')', erase => 'embeddings.erase_batches',
    guard => 'embeddings.keep_erased_out_of_batches');

-- What waited or was with a worker becomes batches. Jobs of texts that were refused before stay, so that attempts count on.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT tenant_id FROM ops.tenant LOOP
        PERFORM set_config('app.tenant_id', each.tenant_id, true);
        INSERT INTO embeddings.text_batch
            (tenant_id, kind, entity_ids, not_before, claim, lease_until, enqueued_at)
        SELECT tenant_id, kind, array_agg(entity_id ORDER BY arrival), not_before, claim, lease_until, min(enqueued_at)
        FROM (
            SELECT *, (row_number() OVER (PARTITION BY kind, claim, lease_until, not_before ORDER BY arrival) - 1) / 500 AS part
            FROM (
                SELECT tenant_id, kind, entity_id, arrival, claim, lease_until, enqueued_at, greatest(not_before, now()) AS not_before
                FROM embeddings.embedding_job
                WHERE tenant_id = each.tenant_id AND status IN ('pending', 'processing')
            )
        )
        GROUP BY tenant_id, kind, claim, lease_until, not_before, part ORDER BY min(arrival);
        DELETE FROM embeddings.embedding_job
        WHERE tenant_id = each.tenant_id
          AND (status = 'completed' OR status IN ('pending', 'processing') AND attempts = 0);
        UPDATE embeddings.embedding_job SET status = 'pending', claim = NULL, lease_until = NULL
        WHERE tenant_id = each.tenant_id AND status = 'processing';
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
END
$$;

DROP INDEX embeddings.embedding_job_waiting, embeddings.embedding_job_leased;
ALTER TABLE embeddings.embedding_job
    DROP COLUMN arrival, DROP COLUMN claim, DROP COLUMN lease_until, DROP COLUMN changed_meanwhile, DROP COLUMN finished_at,
    ALTER COLUMN status DROP DEFAULT,
    ADD CONSTRAINT embedding_job_state CHECK (status IN ('pending', 'failed', 'dead'));
COMMENT ON TABLE embeddings.embedding_job IS 'One row per text that failed, until it has its vector.';
COMMENT ON COLUMN embeddings.embedding_job.status IS 'failed (to be tried again), pending (its next attempt is in a batch) or dead (failed too often; a person has to look).';
COMMENT ON COLUMN embeddings.embedding_job.not_before IS 'When the next attempt of a failed text is due.';
COMMENT ON COLUMN embeddings.embedding_job.enqueued_at IS 'When the text first failed.';
