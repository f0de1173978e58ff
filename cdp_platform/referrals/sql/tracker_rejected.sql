-- The rejected rows, without personal data.
SELECT coalesce({key}, ''), code, path, message,
       to_jsonb(s) - ARRAY['erased_at', 'code', 'path', 'message'] - %(personal)s::text[]
FROM {stage} AS s WHERE code IS NOT NULL
