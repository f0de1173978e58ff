-- What rooms use for work that is leased, for money and for effects. Each room has tables of its own, which these functions
-- make or prepare, so that isolation, erasure and vacuum stay with the room.

-- Rows that workers take by a lease: `cdp_platform.ops.leases.claim`.
CREATE FUNCTION ops.make_claimable(work_table regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ADD COLUMN claim uuid, ADD COLUMN lease_until timestamptz', work_table);
    EXECUTE format('CREATE INDEX ON %s (tenant_id, claim) WHERE claim IS NOT NULL', work_table);
    EXECUTE format('COMMENT ON COLUMN %s.claim IS %L', work_table, 'The worker that has taken the row; NULL: nobody has.');
    EXECUTE format('COMMENT ON COLUMN %s.lease_until IS %L', work_table, 'After this moment others may take the row.');
END
$$;

-- A room's table of what is spent at outside accounts: `cdp_platform.ops.spend`.
CREATE FUNCTION ops.make_spend(room text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    spend_table text := format('%I.spend', room);
BEGIN
    EXECUTE format(
        'CREATE TABLE %s (tenant_id text NOT NULL REFERENCES ops.tenant, account text NOT NULL, day date NOT NULL,'
        ' unit text NOT NULL, amount numeric NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, account, day, unit))', spend_table);
    PERFORM ops.isolate_tenants(spend_table::regclass);
    EXECUTE format('COMMENT ON TABLE %s IS %L', spend_table, 'One row per tenant, account, day (UTC) and unit: what is spent or reserved.');
    EXECUTE format('COMMENT ON COLUMN %s.tenant_id IS %L', spend_table, 'The tenant that the row belongs to.');
    EXECUTE format('COMMENT ON COLUMN %s.account IS %L', spend_table, 'The outside account, or a name for several with one limit.');
    EXECUTE format('COMMENT ON COLUMN %s.day IS %L', spend_table, 'Day in UTC.');
    EXECUTE format('COMMENT ON COLUMN %s.unit IS %L', spend_table, 'Unit of the amount, such as USD or credits.');
    EXECUTE format('COMMENT ON COLUMN %s.amount IS %L', spend_table, 'Reserved before each call, corrected after it; what a dead worker reserved stays.');
END
$$;

-- How far an effect outside is. A row of a ledger begins in a state that follows on NULL here, and moves as this table says.
CREATE DOMAIN ops.effect_state AS text CONSTRAINT is_a_state CHECK (
    VALUE IN ('reserved', 'handed_over', 'confirmed', 'failed', 'unknown', 'excluded', 'unchanged'));

CREATE TABLE ops.effect_move (
    before ops.effect_state,
    after ops.effect_state NOT NULL,
    UNIQUE NULLS NOT DISTINCT (before, after)
);
COMMENT ON TABLE ops.effect_move IS 'One row per move that an effect may make. Belongs to the platform and says nothing of any tenant.';
COMMENT ON COLUMN ops.effect_move.before IS 'State before; NULL: there is no row yet.';
COMMENT ON COLUMN ops.effect_move.after IS 'State after.';
GRANT SELECT ON ops.effect_move TO cdp_platform;
INSERT INTO ops.effect_move (before, after) VALUES
    (NULL, 'reserved'), (NULL, 'excluded'), (NULL, 'unchanged'),
    ('reserved', 'handed_over'), ('reserved', 'failed'), ('reserved', 'excluded'), ('reserved', 'unchanged'),
    ('handed_over', 'confirmed'), ('handed_over', 'failed'), ('handed_over', 'unknown'),
    ('unknown', 'confirmed'), ('unknown', 'failed');

CREATE FUNCTION ops.move_effect_forward() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    was ops.effect_state := CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END;
BEGIN
    IF NOT EXISTS (
        SELECT FROM ops.effect_move AS m WHERE m.before IS NOT DISTINCT FROM was AND m.after = NEW.state
    ) THEN
        RAISE EXCEPTION 'an effect that is % does not become %', coalesce(was::text, 'new'), NEW.state
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NEW;
END
$$;

-- Let no row of a ledger move backwards. Its column `state` is of the domain ops.effect_state.
CREATE FUNCTION ops.guard_effects(ledger regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER effects_begin BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION ops.move_effect_forward()', ledger);
    EXECUTE format(
        'CREATE TRIGGER effects_move BEFORE UPDATE OF state ON %s FOR EACH ROW'
        ' WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION ops.move_effect_forward()', ledger);
END
$$;
REVOKE EXECUTE ON FUNCTION ops.make_claimable, ops.make_spend, ops.guard_effects FROM PUBLIC;
