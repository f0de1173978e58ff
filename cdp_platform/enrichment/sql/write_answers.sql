-- Answers of a call, for the questions that are still asked by it: those of people who were erased meanwhile are not.
UPDATE enrichment.answer AS a SET
    state = CASE WHEN g.fields IS NULL THEN 'no_match' ELSE 'match' END, person_id = g.person_id, fields = g.fields,
    addresses = ARRAY(SELECT DISTINCT unnest(a.addresses || g.addresses)), phone_numbers = g.phone_numbers,
    answered_at = now(),
    expires_at = now() + make_interval(days => CASE WHEN g.fields IS NULL THEN %(no_match_days)s ELSE %(match_days)s END)
FROM jsonb_to_recordset(%(answers)s) AS g (
    hash text, person_id text, fields jsonb, addresses text[], phone_numbers text[])
WHERE a.tenant_id = %(tenant)s AND a.call_id = %(call)s AND a.state = 'asked' AND a.question_hash = decode(g.hash, 'hex')
