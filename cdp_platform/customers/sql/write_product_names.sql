INSERT INTO customers.product_name AS n (tenant_id, product_id, name, keywords, updated_at)
SELECT %(tenant_id)s, s.product_id, s.name, ARRAY(SELECT jsonb_array_elements_text(s.keywords)), s.updated_at
FROM unnest(%(ids)s::text[], %(names)s::text[], %(keywords)s::jsonb[], %(moments)s::timestamptz[])
    AS s (product_id, name, keywords, updated_at)
-- Two who write the same rows never wait for each other in turn.
ORDER BY s.product_id
ON CONFLICT (tenant_id, product_id) DO UPDATE
SET name = excluded.name, keywords = excluded.keywords, updated_at = excluded.updated_at
WHERE (n.name, n.keywords, n.updated_at) IS DISTINCT FROM (excluded.name, excluded.keywords, excluded.updated_at)
