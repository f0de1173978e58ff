calling_code AS MATERIALIZED (
    SELECT code, digits FROM unnest(%(codes)s::text[], %(code_digits)s::int[]) AS g (code, digits)
), phone_head AS MATERIALIZED (
    -- The digits of the number that tell its zone: mostly those of its country alone.
    SELECT located.profile_id, p.living_country,
        substr(p.primary_phone, 2, coalesce(one.digits, two.digits, three.digits)) AS head
    FROM located
    JOIN customers.cdp_profiles AS p ON p.tenant_id = %(tenant)s AND p.profile_id = located.profile_id
    LEFT JOIN calling_code AS one ON one.code = substr(p.primary_phone, 2, 1)
    LEFT JOIN calling_code AS two ON two.code = substr(p.primary_phone, 2, 2)
    LEFT JOIN calling_code AS three ON three.code = substr(p.primary_phone, 2, 3)
), phone_zone AS (
    SELECT DISTINCT ON (h.head) h.head, g.zone
    FROM (SELECT DISTINCT head FROM phone_head WHERE head IS NOT NULL) AS h
    CROSS JOIN generate_series(1, 15) AS digits
    JOIN unnest(%(prefixes)s::text[], %(prefix_zones)s::text[]) AS g (prefix, zone) ON g.prefix = left(h.head, digits)
    ORDER BY h.head, digits DESC
), time_zone AS (
    SELECT h.profile_id, coalesce(phone.zone, country.zone, %(tenant_zone)s) AS zone,
        CASE WHEN phone.zone IS NOT NULL THEN 'phone' WHEN country.zone IS NOT NULL THEN 'country' ELSE 'tenant' END AS source
    FROM phone_head AS h
    LEFT JOIN phone_zone AS phone ON phone.head = h.head
    LEFT JOIN unnest(%(countries)s::text[], %(country_zones)s::text[]) AS country (name, zone)
        ON country.name = h.living_country
)
