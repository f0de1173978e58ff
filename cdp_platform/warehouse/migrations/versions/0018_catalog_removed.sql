-- Catalogue: when a row left its source is in removed_at. The word tombstone is left to erased persons.

ALTER TABLE catalog.organization RENAME COLUMN tombstoned_at TO removed_at;
ALTER TABLE catalog.brand RENAME COLUMN tombstoned_at TO removed_at;
ALTER TABLE catalog.product_group RENAME COLUMN tombstoned_at TO removed_at;
ALTER TABLE catalog.product RENAME COLUMN tombstoned_at TO removed_at;
ALTER TABLE catalog.offer RENAME COLUMN tombstoned_at TO removed_at;
ALTER INDEX catalog.product_tombstoned RENAME TO product_removed;
COMMENT ON COLUMN catalog.feed_round.gone IS 'Live before and not in the feed: removed if the round landed.';

-- PostgreSQL renames no parameter in place, and the view of the texts needs a function at every moment.
ALTER FUNCTION catalog.product_text RENAME TO product_text_before;
CREATE FUNCTION catalog.product_text(
    name text, description text, brand_name text, categories text[], attributes jsonb, in_stock boolean,
    removed_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN removed_at IS NULL THEN left(concat_ws(
    '; ', name, nullif(description, ''), 'brand: ' || nullif(brand_name, ''),
    nullif(array_to_string(categories, ', '), ''),
    (SELECT string_agg(key || ': ' || value, ', ' ORDER BY key) FROM jsonb_each_text(attributes)),
    CASE in_stock WHEN true THEN 'in stock' WHEN false THEN 'out of stock' END
), 40000) END;
CREATE OR REPLACE VIEW embeddings.product_texts WITH (security_invoker = true) AS
SELECT r.tenant_id, 'product'::text AS kind, r.product_key AS entity_id,
       catalog.product_text(r.name, r.description, r.brand_name, r.categories, r.attributes, r.in_stock, r.removed_at)
           AS content
FROM catalog.product AS r;
DROP FUNCTION catalog.product_text_before;

-- The trigger that queues changed texts has the names of the columns as text.
CREATE OR REPLACE TRIGGER embed_updated AFTER UPDATE ON catalog.product
REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION embeddings.enqueue_updated(
    'product', 'product_key',
    'catalog.product_text({r}.name, {r}.description, {r}.brand_name, {r}.categories, {r}.attributes, '
    '{r}.in_stock, {r}.removed_at)');
