person AS MATERIALIZED (
    SELECT people.profile_id, p.closed_at IS NOT NULL OR p.profile_id IS NULL AS is_closed, p.updated_at,
        p.{address} AS address, ops.address_hash(s.salt, p.{address}) AS address_hash, {cdp_consent} AS cdp_consent
    FROM people
    JOIN ops.address_salt AS s ON s.tenant_id = %(tenant)s
    LEFT JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = people.profile_id
), voice AS (
    -- Words that count: the profile's own, those of profiles that were merged into it, and refusals of all that have its address.
    SELECT profile_id, profile_id AS voice, 'own' AS role, cdp_consent FROM person
    UNION ALL
    SELECT person.profile_id, p.profile_id, 'merged', {cdp_consent} FROM person
    JOIN customers.cdp_profiles AS p
        ON p.tenant_id = %(tenant)s AND p.root_profile_id = person.profile_id AND p.root_profile_id <> p.profile_id
    UNION ALL
    SELECT person.profile_id, p.profile_id, 'address', {cdp_consent} FROM person
    JOIN customers.cdp_profiles AS p
        ON p.tenant_id = %(tenant)s AND p.{address} = person.address AND p.profile_id <> person.profile_id
), consent AS (
    SELECT voice.profile_id,
        bool_or(voice.role <> 'address' AND c.state = %(wanted)s
            OR voice.role = 'own' AND voice.cdp_consent AND %(trusts_cdp)s) AS is_there,
        bool_or(c.state IN ('refused', 'withdrawn') OR NOT voice.cdp_consent) AS is_refused
    FROM voice
    LEFT JOIN campaigns.consent_management AS c
        ON c.tenant_id = %(tenant)s AND c.profile_id = voice.voice AND c.channel = %(channel)s
    GROUP BY voice.profile_id
), suppressed AS (
    SELECT DISTINCT person.profile_id FROM person
    JOIN campaigns.suppression AS s
        ON s.tenant_id = %(tenant)s AND s.channel IN (%(channel)s, '*') AND s.address_hash = person.address_hash
), recent AS (
    -- Deliveries to the person or their address; one that is found by both counts once.
    SELECT person.profile_id, d.delivery_id, d.channel FROM person
    JOIN {deliveries} AS d ON d.tenant_id = %(tenant)s AND d.address_hash = person.address_hash
    WHERE d.handed_over_at > %(moment)s::timestamptz - make_interval(hours => %(cap_hours)s)
        AND d.state IN ('handed_over', 'confirmed', 'unknown')
    UNION
    SELECT person.profile_id, d.delivery_id, d.channel FROM person
    JOIN {deliveries} AS d ON d.tenant_id = %(tenant)s AND d.profile_id = person.profile_id
    WHERE d.handed_over_at > %(moment)s::timestamptz - make_interval(hours => %(cap_hours)s)
        AND d.state IN ('handed_over', 'confirmed', 'unknown')
), sent AS (
    SELECT profile_id, count(*) AS messages, count(*) FILTER (WHERE channel = %(channel)s) AS messages_in_channel
    FROM recent GROUP BY profile_id
), asked AS (
    -- An address is asked once, for ever, to confirm its consent.
    SELECT DISTINCT person.profile_id FROM person
    JOIN {deliveries} AS d
        ON d.tenant_id = %(tenant)s AND d.address_hash = person.address_hash AND d.channel = %(channel)s
            AND d.handed_over_at IS NOT NULL AND d.state IN ('handed_over', 'confirmed', 'unknown')
    JOIN campaigns.marketing_event AS e
        ON e.tenant_id = %(tenant)s AND e.event_id = d.event_id AND e.type = 'confirmation'
    WHERE %(wanted)s = 'requested'
), permission AS (
    SELECT person.profile_id, person.address, person.address_hash, person.updated_at,
        CASE
            WHEN person.is_closed THEN 'closed'
            WHEN person.address IS NULL THEN 'no_address'
            WHEN consent.is_refused OR consent.is_there IS NOT TRUE THEN 'no_consent'
            WHEN suppressed.profile_id IS NOT NULL THEN 'suppressed'
        END AS reason,
        asked.profile_id IS NOT NULL OR coalesce(sent.messages >= %(cap)s, false)
            OR coalesce(sent.messages_in_channel >= %(channel_cap)s, false) AS is_capped
    FROM person
    JOIN consent ON consent.profile_id = person.profile_id
    LEFT JOIN suppressed ON suppressed.profile_id = person.profile_id
    LEFT JOIN sent ON sent.profile_id = person.profile_id
    LEFT JOIN asked ON asked.profile_id = person.profile_id
)
