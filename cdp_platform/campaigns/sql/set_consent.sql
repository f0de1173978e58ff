INSERT INTO campaigns.consent_management AS c
    (tenant_id, profile_id, channel, state, legal_basis, source, evidence, happened_at)
SELECT DISTINCT ON (g.profile_id, g.channel)
    %(tenant)s, g.profile_id, g.channel, g.state, g.legal_basis, g.source, g.evidence, g.happened_at
FROM unnest(
    %(profile_id)s::text[], %(channel)s::text[], %(state)s::text[], %(legal_basis)s::text[], %(source)s::text[],
    %(evidence)s::text[], %(happened_at)s::timestamptz[]
) WITH ORDINALITY AS g (profile_id, channel, state, legal_basis, source, evidence, happened_at, place)
-- In one order, so that two who write the same rows wait and do not block each other.
ORDER BY g.profile_id, g.channel, g.happened_at DESC, g.place DESC
ON CONFLICT (tenant_id, profile_id, channel) DO UPDATE SET
    state = excluded.state, legal_basis = excluded.legal_basis, source = excluded.source, evidence = excluded.evidence,
    happened_at = excluded.happened_at, recorded_at = now()
WHERE excluded.happened_at >= c.happened_at
  AND (excluded.state, excluded.legal_basis, excluded.source, excluded.evidence, excluded.happened_at)
      IS DISTINCT FROM (c.state, c.legal_basis, c.source, c.evidence, c.happened_at)
