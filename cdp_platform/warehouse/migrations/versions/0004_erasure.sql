-- Erasure: who was erased and must not come back, by sync, replay or restore; and whose a rejected document is.

CREATE TABLE ops.erased_document (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    source text NOT NULL,
    document_key text NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, source, document_key)
);
COMMENT ON TABLE ops.erased_document IS 'Tombstones: one row per source document of an erased person. Holds the random key and nothing else of them.';
SELECT ops.isolate_tenants('ops.erased_document');
REVOKE DELETE ON ops.erased_document FROM cdp_platform;

ALTER TABLE ops.rejected_record ADD COLUMN profile_ids text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ops.rejected_record.profile_ids IS 'Keys of the profiles that the document is about.';
UPDATE ops.rejected_record SET profile_ids = array_remove(ARRAY[
    CASE WHEN source = 'cdp_profile' THEN document_key END,
    substring(document::text FROM '"rootProfileId": ?"([^"]+)"'),
    substring(document::text FROM '"_from": ?"cdp_profile/([^"]+)"')], NULL);

-- Rows that come past the platform, as from a backup, find the tombstones too. Once per statement: where nobody of the new
-- rows was erased, that is one look-up.
CREATE FUNCTION ops.keep_erased_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM new_rows AS n JOIN ops.erased_document AS e ON e.tenant_id = n.tenant_id
            AND e.source = 'cdp_profile' AND e.document_key = n.profile_id
    ) THEN
        EXECUTE format(
            'DELETE FROM %I.%I AS t USING ops.erased_document AS e, new_rows AS n'
            ' WHERE t.tenant_id = n.tenant_id AND t.profile_id = n.profile_id AND e.tenant_id = n.tenant_id'
            ' AND e.source = ''cdp_profile'' AND e.document_key = n.profile_id', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.cdp_profiles
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out();
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.transactions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out();
CREATE TRIGGER keep_erased_out AFTER INSERT ON customers.customer_metrics
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_out();

CREATE FUNCTION ops.keep_erased_rejections_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ops.rejected_record AS r USING new_rows AS n, ops.erased_document AS e
    WHERE r.tenant_id = n.tenant_id AND r.source = n.source AND r.document_key = n.document_key
      AND e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = ANY (n.profile_ids);
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_erased_out AFTER INSERT ON ops.rejected_record
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_erased_rejections_out();
