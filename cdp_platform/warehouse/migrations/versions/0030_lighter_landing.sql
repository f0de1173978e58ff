-- The queue of texts.

-- Counting and claiming texts reads no array.
ALTER TABLE embeddings.text_batch ADD COLUMN texts int NOT NULL GENERATED ALWAYS AS (cardinality(entity_ids)) STORED;
COMMENT ON COLUMN embeddings.text_batch.texts IS 'Number of the texts in entity_ids.';

-- Take the batches that wait longest, or whose leases have ended, until they have at_most texts together; of the last one only
-- the part that fits. Batches that as many workers vanished with are claimed together, and an eighth as many texts with each of
-- these workers: so a text that kills its worker is soon alone. embeddings.claim_batches is for workers of the older version.
CREATE FUNCTION embeddings.take_batches(
    for_tenant text, of_kind text, at_most int, by_claim uuid, lease interval, most_attempts int,
    OUT batches bigint[], OUT size int, OUT attempts int
)
-- Planned once, for a queue of any length: the index has the order already.
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_sort = off AS $$
DECLARE
    waiting CURSOR FOR
        SELECT b.batch_id AS id, b.texts, b.attempts, b.claim IS NOT NULL AS was_claimed FROM embeddings.text_batch AS b
        WHERE b.tenant_id = for_tenant AND b.kind = of_kind
          AND (b.claim IS NULL AND b.not_before <= now() OR b.lease_until < now())
        ORDER BY b.arrival, b.batch_id FOR UPDATE SKIP LOCKED;
    batch record;
    vanished int;
    room int;
BEGIN
    batches := '{}';
    size := 0;
    OPEN waiting;
    LOOP
        FETCH waiting INTO batch;
        EXIT WHEN NOT FOUND;
        vanished := batch.attempts + batch.was_claimed::int;
        IF batch.texts > 1 THEN
            -- Only a text that was alone with its worker is given up.
            vanished := least(vanished, most_attempts - 1);
        END IF;
        IF size = 0 THEN
            attempts := vanished;
            room := CASE
                WHEN attempts = 0 THEN at_most WHEN attempts >= most_attempts - 1 THEN 1
                ELSE greatest(1, at_most >> 3 * attempts) END;
        END IF;
        EXIT WHEN vanished <> attempts;
        IF batch.texts > room THEN
            INSERT INTO embeddings.text_batch (tenant_id, kind, arrival, entity_ids, attempts, not_before, enqueued_at)
            SELECT b.tenant_id, b.kind, b.arrival, b.entity_ids[room + 1 :], vanished, b.not_before, b.enqueued_at
            FROM embeddings.text_batch AS b WHERE b.tenant_id = for_tenant AND b.batch_id = batch.id;
            UPDATE embeddings.text_batch AS b
            SET claim = by_claim, lease_until = now() + lease, attempts = vanished, entity_ids = b.entity_ids[: room]
            WHERE CURRENT OF waiting;
        ELSE
            -- Row by row: an update by all keys, planned while the queue was short, would read all of a long one.
            UPDATE embeddings.text_batch AS b
            SET claim = by_claim, lease_until = now() + lease, attempts = vanished WHERE CURRENT OF waiting;
        END IF;
        batches := batches || batch.id;
        size := size + least(batch.texts, room);
        room := room - least(batch.texts, room);
        EXIT WHEN room = 0;
    END LOOP;
    CLOSE waiting;
END
$$;

-- The sync: new profiles have no members yet.
CREATE OR REPLACE FUNCTION customers.follow_segments() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        BEGIN
            -- Without ON CONFLICT, which looks for each member once more. And not by segment_ids: a lateral join takes longer,
            -- and each profile of a first load comes by here.
            INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
            SELECT DISTINCT tenant_id, segment ->> 'id', profile_id
            FROM (SELECT tenant_id, profile_id, jsonb_array_elements(segments) AS segment FROM new_rows) AS named
            WHERE jsonb_typeof(segment -> 'id') = 'string'
            ORDER BY 1, 2, 3;
        EXCEPTION WHEN unique_violation THEN
            -- A restore has brought members without their profiles.
            INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
            SELECT n.tenant_id, s.segment_id, n.profile_id
            FROM new_rows AS n, customers.segment_ids(n.segments) AS s (segment_id)
            ON CONFLICT DO NOTHING;
        END;
    ELSIF TG_OP = 'UPDATE' THEN
        WITH changed AS MATERIALIZED (
            SELECT tenant_id, profile_id, o.segments AS before, n.segments AS after
            FROM new_rows AS n JOIN old_rows AS o USING (tenant_id, profile_id)
            WHERE n.segments <> o.segments
        ), gone AS (
            DELETE FROM customers.segment_member AS m
            USING changed AS c, customers.segment_ids(c.before) AS s (segment_id)
            WHERE m.tenant_id = c.tenant_id AND m.segment_id = s.segment_id AND m.profile_id = c.profile_id
              AND s.segment_id NOT IN (SELECT customers.segment_ids(c.after))
        )
        INSERT INTO customers.segment_member (tenant_id, segment_id, profile_id)
        SELECT c.tenant_id, s.segment_id, c.profile_id
        FROM changed AS c, customers.segment_ids(c.after) AS s (segment_id)
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM customers.segment_member AS m
        USING old_rows AS o, customers.segment_ids(o.segments) AS s (segment_id)
        WHERE m.tenant_id = o.tenant_id AND m.segment_id = s.segment_id AND m.profile_id = o.profile_id;
    END IF;
    RETURN NULL;
END
$$;
