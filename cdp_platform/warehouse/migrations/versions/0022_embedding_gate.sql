-- Embeddings use the gate, spend and leases of all rooms. Running installations are carried over: a paused model stays paused,
-- and money that was spent or reserved today stays counted.

-- A pause was a rest that the provider asked for, or that of an outage. Pauses in a row made the next one longer.
INSERT INTO ops.gate (name, rests_until, failures, openings, reason)
SELECT 'embeddings ' || provider || ' ' || name, coalesce(max(paused_until), '-infinity'), max(pauses), max(pauses),
       (array_agg(pause_reason ORDER BY paused_until DESC NULLS LAST))[1]
FROM embeddings.embedding_model
WHERE pauses > 0 OR paused_until > now()
GROUP BY provider, name
ON CONFLICT (name) DO NOTHING;
ALTER TABLE embeddings.embedding_model DROP COLUMN paused_until, DROP COLUMN pauses, DROP COLUMN pause_reason;

SELECT ops.make_spend('embeddings');
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT tenant_id FROM ops.tenant LOOP
        PERFORM set_config('app.tenant_id', each.tenant_id, true);
        INSERT INTO embeddings.spend (tenant_id, account, day, unit, amount)
        SELECT tenant_id, 'all models', day, 'USD', sum(cost) FROM embeddings.usage
        WHERE tenant_id = each.tenant_id GROUP BY tenant_id, day HAVING sum(cost) > 0;
    END LOOP;
    PERFORM set_config('app.tenant_id', '', true);
END
$$;
ALTER TABLE embeddings.usage DROP COLUMN cost;

COMMENT ON COLUMN embeddings.embedding_job.attempts IS 'Failures of this text. A rest of the gate or a provider that is away is not counted.';
