-- Catalogue: who sells (registries), what they sell (feeds), and how each reading of a feed went.

CREATE SCHEMA catalog;
GRANT USAGE ON SCHEMA catalog TO cdp_platform;

-- Registries ----------------------------------------------------------------------------------------------------------

CREATE TABLE catalog.organization (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    ingestor text NOT NULL,
    name text NOT NULL,
    description text,
    url text,
    logo text,
    same_as text[] NOT NULL DEFAULT '{}',
    feed_url text,
    document jsonb NOT NULL,
    document_hash bytea NOT NULL,
    tombstoned_at timestamptz,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, organization_id)
);
COMMENT ON TABLE catalog.organization IS 'One row per organization (URN) of a registry.';
COMMENT ON COLUMN catalog.organization.ingestor IS 'Whose registry brought it first; another''s cannot take it while it is listed there.';
SELECT ops.isolate_tenants('catalog.organization');

CREATE TABLE catalog.brand (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    brand_id text NOT NULL,
    name text NOT NULL,
    logo text,
    document jsonb NOT NULL,
    document_hash bytea NOT NULL,
    tombstoned_at timestamptz,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, organization_id, brand_id)
);
COMMENT ON TABLE catalog.brand IS 'One row per brand (URN) that a registry gives an organization; a feed may write into these and no others.';
-- A brand has one owner at a time.
CREATE UNIQUE INDEX brand_one_owner ON catalog.brand (tenant_id, brand_id) WHERE tombstoned_at IS NULL;
SELECT ops.isolate_tenants('catalog.brand');

CREATE TABLE catalog.category (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    category_id text NOT NULL,
    name text NOT NULL,
    parent_id text,
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, organization_id, category_id)
);
COMMENT ON TABLE catalog.category IS 'One row per category of an organization: its slugs from the root, such as gifts/gift-cards.';
CREATE INDEX category_children ON catalog.category (tenant_id, organization_id, parent_id);
SELECT ops.isolate_tenants('catalog.category');

CREATE TABLE catalog.organization_category (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    category_id text NOT NULL,
    PRIMARY KEY (tenant_id, organization_id, category_id)
);
COMMENT ON TABLE catalog.organization_category IS 'One row per category that the registry says an organization is in.';
SELECT ops.isolate_tenants('catalog.organization_category');

CREATE TABLE catalog.brand_category (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    brand_id text NOT NULL,
    category_id text NOT NULL,
    PRIMARY KEY (tenant_id, organization_id, brand_id, category_id)
);
COMMENT ON TABLE catalog.brand_category IS 'One row per brand and category that the brand has a product or product group in.';
SELECT ops.isolate_tenants('catalog.brand_category');

-- Feeds ---------------------------------------------------------------------------------------------------------------

CREATE TABLE catalog.product_group (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    group_id text NOT NULL,
    brand_id text NOT NULL,
    brand_name text NOT NULL,
    product_group_id text,
    name text NOT NULL,
    description text,
    url text,
    image text,
    categories text[] NOT NULL DEFAULT '{}',
    category_ids text[] NOT NULL DEFAULT '{}',
    varies_by text[] NOT NULL DEFAULT '{}',
    media jsonb NOT NULL DEFAULT '[]',
    document jsonb NOT NULL,
    document_hash bytea NOT NULL,
    generation bigint NOT NULL,
    tombstoned_at timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, organization_id, group_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE catalog.product_group IS 'One row per product group (URN) of an organization.';
COMMENT ON COLUMN catalog.product_group.product_group_id IS 'The seller''s own number, unique among the live groups of an organization.';
COMMENT ON COLUMN catalog.product_group.generation IS 'The round of the feed that last changed the row.';
SELECT ops.isolate_tenants('catalog.product_group');

CREATE TABLE catalog.product (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    product_id text NOT NULL,
    product_key text NOT NULL GENERATED ALWAYS AS (organization_id || '#' || product_id) STORED,
    brand_id text NOT NULL,
    brand_name text NOT NULL,
    group_id text,
    sku text NOT NULL,
    name text NOT NULL,
    description text,
    inherits_description boolean NOT NULL DEFAULT false,
    url text,
    images text[] NOT NULL DEFAULT '{}',
    categories text[] NOT NULL DEFAULT '{}',
    category_ids text[] NOT NULL DEFAULT '{}',
    inherits_categories boolean NOT NULL DEFAULT false,
    attributes jsonb NOT NULL DEFAULT '{}',
    gtin text,
    mpn text,
    in_stock boolean,
    document jsonb NOT NULL,
    document_hash bytea NOT NULL,
    generation bigint NOT NULL,
    tombstoned_at timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    synced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, organization_id, product_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE catalog.product IS 'One row per product (URN) of an organization, a variant or one that stands alone.';
COMMENT ON COLUMN catalog.product.product_key IS 'Unique within the tenant; the id of the product''s embedding.';
COMMENT ON COLUMN catalog.product.group_id IS 'The group that the product says it is a variant of, in the feed or not.';
COMMENT ON COLUMN catalog.product.inherits_description IS 'The product has none, and the description is its group''s, if that has one. Likewise categories.';
COMMENT ON COLUMN catalog.product.in_stock IS 'Whether any of its offers can be bought now; NULL where no offer says.';
COMMENT ON COLUMN catalog.product.generation IS 'The round of the feed that last changed the row.';
CREATE INDEX product_tombstoned ON catalog.product (tenant_id, tombstoned_at) WHERE tombstoned_at IS NOT NULL;
SELECT ops.isolate_tenants('catalog.product');

CREATE TABLE catalog.offer (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    product_id text NOT NULL,
    offer_number int NOT NULL,
    seller_id text NOT NULL,
    price numeric NOT NULL,
    currency char(3) NOT NULL,
    availability text,
    inventory_level numeric,
    price_valid_until timestamptz,
    url text,
    generation bigint NOT NULL,
    tombstoned_at timestamptz,
    PRIMARY KEY (tenant_id, organization_id, product_id, offer_number)
);
COMMENT ON TABLE catalog.offer IS 'One row per offer of a product, numbered from 1 as the feed has them; the whole of it is in the product''s document.';
COMMENT ON COLUMN catalog.offer.seller_id IS 'The organization that the offer names, else the one whose feed it is.';
COMMENT ON COLUMN catalog.offer.price IS 'Exactly as the feed has it, in currency (ISO 4217).';
COMMENT ON COLUMN catalog.offer.availability IS 'The last part of the schema.org address, such as InStock.';
SELECT ops.isolate_tenants('catalog.offer');

-- Rounds --------------------------------------------------------------------------------------------------------------

CREATE TABLE catalog.feed_round (
    tenant_id text NOT NULL,
    organization_id text NOT NULL,
    ingestor text NOT NULL,
    generation bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL,
    reason text,
    items bigint NOT NULL DEFAULT 0,
    groups bigint NOT NULL DEFAULT 0,
    products bigint NOT NULL DEFAULT 0,
    offers bigint NOT NULL DEFAULT 0,
    new bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    gone bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    rejected_by_code jsonb NOT NULL DEFAULT '{}',
    remarks jsonb NOT NULL DEFAULT '{}',
    shards int NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    approved_at timestamptz,
    PRIMARY KEY (tenant_id, ingestor, organization_id, generation)
);
COMMENT ON TABLE catalog.feed_round IS 'One row per reading of an organization''s feed that changed something or failed.';
COMMENT ON COLUMN catalog.feed_round.outcome IS 'landed: taken whole; blocked: too much would vanish, a person decides; failed: could not be read or is not a feed. The last two changed nothing.';
COMMENT ON COLUMN catalog.feed_round.items IS 'Groups and products in the feed: new + changed + unchanged + rejected.';
COMMENT ON COLUMN catalog.feed_round.gone IS 'Live before and not in the feed: tombstoned if the round landed.';
COMMENT ON COLUMN catalog.feed_round.held IS 'Live groups and products before.';
COMMENT ON COLUMN catalog.feed_round.approved_at IS 'A person allowed as much to vanish as a blocked round would have removed.';
SELECT ops.isolate_tenants('catalog.feed_round');

CREATE TABLE catalog.feed_state (
    tenant_id text NOT NULL,
    ingestor text NOT NULL,
    organization_id text NOT NULL,
    path text NOT NULL,
    etag text,
    last_modified text,
    size bigint,
    digest text NOT NULL,
    rules text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, ingestor, organization_id, path)
);
COMMENT ON TABLE catalog.feed_state IS 'One row per file of a feed or registry as it was last taken; a file that is the same need not be taken again.';
COMMENT ON COLUMN catalog.feed_state.organization_id IS 'Whose feed it belongs to; empty for a registry.';
COMMENT ON COLUMN catalog.feed_state.rules IS 'What else the rows were made of: the version of the mapping, and the brands that the registry gave.';
SELECT ops.isolate_tenants('catalog.feed_state');

-- Products as texts ---------------------------------------------------------------------------------------------------

-- What a product is and whether it can be had.
CREATE FUNCTION catalog.product_text(
    name text, description text, brand_name text, categories text[], attributes jsonb, in_stock boolean,
    tombstoned_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN tombstoned_at IS NULL THEN left(concat_ws(
    '; ', name, nullif(description, ''), 'brand: ' || nullif(brand_name, ''),
    nullif(array_to_string(categories, ', '), ''),
    (SELECT string_agg(key || ': ' || value, ', ' ORDER BY key) FROM jsonb_each_text(attributes)),
    CASE in_stock WHEN true THEN 'in stock' WHEN false THEN 'out of stock' END
), 40000) END;

-- A text is looked for by its key.
CREATE UNIQUE INDEX product_by_key ON catalog.product (tenant_id, product_key);

SELECT embeddings.follow('catalog.product', 'product', 'product_key',
    'catalog.product_text({r}.name, {r}.description, {r}.brand_name, {r}.categories, {r}.attributes, '
    '{r}.in_stock, {r}.tombstoned_at)');
CREATE OR REPLACE VIEW embeddings.entity_text WITH (security_invoker = true) AS
SELECT * FROM embeddings.profile_texts UNION ALL SELECT * FROM embeddings.transaction_texts
UNION ALL SELECT * FROM embeddings.product_texts;
