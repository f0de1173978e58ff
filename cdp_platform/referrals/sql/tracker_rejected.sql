-- The rows that are not taken, without what they say of a person.
SELECT coalesce({key}, ''), code, path, message,
       to_jsonb(s) - ARRAY['erased_at', 'code', 'path', 'message'] - %(personal)s::text[]
FROM {stage} AS s WHERE code IS NOT NULL
