-- What a sync writes beside its rows, by the batch; and counts and look-ups that do not grow with the tenant.

-- Rows of a table that is read from a source --------------------------------------------------------------------------------

ALTER TABLE ops.sync_watermark ADD COLUMN held_rows bigint, ADD COLUMN deleted_rows bigint;
COMMENT ON COLUMN ops.sync_watermark.held_rows IS 'Rows of the tenant in the table that the source is read into, as its triggers count them; NULL until they are counted once.';
COMMENT ON COLUMN ops.sync_watermark.deleted_rows IS 'How many of held_rows are closed as deleted.';
ALTER TABLE ops.reconciliation ADD COLUMN miscounted bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ops.reconciliation.miscounted IS 'By how much held_rows and deleted_rows of ops.sync_watermark were wrong; they are right since.';

-- Trigger of such a table. Argument: the source. Writers of a tenant's table take turns (the lock of its sync, or an erasure that
-- has the tenant alone) but for the two processes of a full read. These do not wait here for each other in a first load, since
-- nothing is counted before its end.
CREATE FUNCTION customers.count_held() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE ops.sync_watermark AS w
        SET held_rows = w.held_rows + n.held, deleted_rows = w.deleted_rows + n.deleted
        FROM (
            SELECT tenant_id, count(*) AS held, count(*) FILTER (WHERE closed_reason = 'deleted') AS deleted
            FROM new_rows GROUP BY tenant_id
        ) AS n
        WHERE w.tenant_id = n.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE ops.sync_watermark AS w
        SET deleted_rows = w.deleted_rows + n.deleted
        FROM (
            SELECT tenant_id, count(*) FILTER (WHERE is_new) - count(*) FILTER (WHERE NOT is_new) AS deleted
            FROM (
                SELECT tenant_id, true AS is_new FROM new_rows WHERE closed_reason = 'deleted'
                UNION ALL
                SELECT tenant_id, false FROM old_rows WHERE closed_reason = 'deleted'
            ) AS both_sides
            GROUP BY tenant_id
        ) AS n
        WHERE w.tenant_id = n.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL AND n.deleted <> 0;
    ELSE
        UPDATE ops.sync_watermark AS w
        SET held_rows = w.held_rows - o.held, deleted_rows = w.deleted_rows - o.deleted
        FROM (
            SELECT tenant_id, count(*) AS held, count(*) FILTER (WHERE closed_reason = 'deleted') AS deleted
            FROM old_rows GROUP BY tenant_id
        ) AS o
        WHERE w.tenant_id = o.tenant_id AND w.source = TG_ARGV[0] AND w.held_rows IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    each record;
BEGIN
    FOR each IN VALUES
        ('cdp_profiles', 'cdp_profile'), ('transactions', 'cdp_profile2conversion'), ('cdp_segments', 'cdp_segment')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER count_inserted AFTER INSERT ON customers.%1$I REFERENCING NEW TABLE AS new_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L);'
            'CREATE TRIGGER count_updated AFTER UPDATE ON customers.%1$I REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L);'
            'CREATE TRIGGER count_deleted AFTER DELETE ON customers.%1$I REFERENCING OLD TABLE AS old_rows'
            ' FOR EACH STATEMENT EXECUTE FUNCTION customers.count_held(%2$L)', each.column1, each.column2);
    END LOOP;
END
$$;
