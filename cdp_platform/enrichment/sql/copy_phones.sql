-- The provider delivers nothing for people whose numbers an earlier call delivers: these are those numbers.
UPDATE enrichment.answer AS a SET
    fields = a.fields || jsonb_build_object('phones', o.fields -> 'phones'),
    phone_numbers = ARRAY(SELECT DISTINCT n FROM unnest(a.phone_numbers || o.phone_numbers) AS n ORDER BY n)
FROM enrichment.answer AS o
WHERE a.tenant_id = %(tenant)s AND a.call_id = %(call)s AND a.state = 'match' AND a.phones AND NOT a.fields ? 'phones'
  AND o.tenant_id = %(tenant)s AND o.provider = a.provider AND o.person_id = a.person_id AND o.fields ? 'phones'
