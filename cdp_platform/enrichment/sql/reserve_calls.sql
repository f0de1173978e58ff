-- Calls with their questions, which from now on nobody else asks, and their credits at the search.
WITH calls AS (
    INSERT INTO enrichment.provider_call (
        tenant_id, call_id, search_id, provider, account, personal_emails, phones, people, attempt, may_be_double, spend_day,
        credits_reserved, phone_secret_hash, claim, lease_until)
    SELECT %(tenant)s, c.call_id, %(search)s, %(provider)s, %(account)s, %(personal_emails)s, %(phones)s, c.people,
        %(attempt)s, c.may_be_double, %(day)s, c.people * %(each)s::numeric, c.secret_hash, %(claim)s,
        statement_timestamp() + make_interval(secs => %(lease_seconds)s)
    FROM unnest(%(calls)s::uuid[], %(people)s::int[], %(doubles)s::boolean[], %(secrets)s::bytea[])
        AS c (call_id, people, may_be_double, secret_hash)
), questions AS (
    SELECT q.* FROM unnest(%(call_of)s::uuid[], %(places)s::int[], %(hashes)s::bytea[], %(emails)s::text[])
        AS q (call_id, place, question_hash, email)
), places AS (
    INSERT INTO enrichment.call_question (tenant_id, call_id, place, question_hash)
    SELECT %(tenant)s, call_id, place, question_hash FROM questions
), asked AS (
    INSERT INTO enrichment.answer (
        tenant_id, provider, question_hash, personal_emails, phones, state, call_id, addresses)
    SELECT %(tenant)s, %(provider)s, question_hash, %(personal_emails)s, %(phones)s, 'asked', call_id,
        array_remove(ARRAY[email], NULL)
    FROM questions
    -- An answer that has expired.
    ON CONFLICT (tenant_id, provider, question_hash, personal_emails, phones) DO UPDATE SET
        state = 'asked', call_id = excluded.call_id, person_id = NULL, fields = NULL, addresses = excluded.addresses,
        phone_numbers = '{}', answered_at = NULL, expires_at = NULL
)
UPDATE enrichment.search SET
    credits_reserved = credits_reserved + (SELECT sum(people) FROM unnest(%(people)s::int[]) AS p (people)) * %(each)s::numeric,
    status_reason = NULL, not_before = NULL
WHERE tenant_id = %(tenant)s AND search_id = %(search)s
