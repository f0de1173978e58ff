WITH taken AS (
    INSERT INTO campaigns.consent_management AS c
        (tenant_id, profile_id, channel, state, legal_basis, source, evidence, happened_at)
    SELECT DISTINCT ON (g.profile_id, g.channel)
        %(tenant)s, g.profile_id, g.channel, g.state, g.legal_basis, g.source, g.evidence, at.happened_at
    FROM unnest(
        %(profile_id)s::text[], %(channel)s::text[], %(state)s::text[], %(legal_basis)s::text[], %(source)s::text[],
        %(evidence)s::text[], %(happened_at)s::timestamptz[]
    ) WITH ORDINALITY AS g (profile_id, channel, state, legal_basis, source, evidence, happened_at, place)
    -- A clock that is ahead must not keep a later word out.
    CROSS JOIN LATERAL (SELECT least(g.happened_at, clock_timestamp()) AS happened_at) AS at
    -- In one order, so that two who write the same rows wait and do not block each other.
    ORDER BY g.profile_id, g.channel, at.happened_at DESC, g.state IN ('refused', 'withdrawn') DESC, g.place DESC
    ON CONFLICT (tenant_id, profile_id, channel) DO UPDATE SET
        state = excluded.state, legal_basis = excluded.legal_basis, source = excluded.source, evidence = excluded.evidence,
        happened_at = excluded.happened_at, recorded_at = now()
    WHERE (excluded.happened_at > c.happened_at
        -- A refusal wins over another word of the same moment.
        OR excluded.happened_at = c.happened_at
            AND (c.state NOT IN ('refused', 'withdrawn') OR excluded.state IN ('refused', 'withdrawn')))
      AND (excluded.state, excluded.legal_basis, excluded.source, excluded.evidence, excluded.happened_at)
          IS DISTINCT FROM (c.state, c.legal_basis, c.source, c.evidence, c.happened_at)
    RETURNING c.profile_id, c.channel, c.state, c.happened_at
), lifted AS (
    -- A person who opted out and agreed later may have messages again. A bounce, a complaint or a person's word is not lifted.
    DELETE FROM campaigns.suppression AS s
    USING taken AS t JOIN campaigns.address_of AS a ON a.tenant_id = %(tenant)s AND a.profile_id = t.profile_id
    WHERE s.tenant_id = %(tenant)s AND s.channel = t.channel AND s.address_hash = a.address_hash
      AND s.reason = 'opt_out' AND t.state = 'given' AND t.happened_at > s.since
)
SELECT count(*) FROM taken
