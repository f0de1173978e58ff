-- Every item of a feed, and the rows of items that are new or changed.
CREATE TEMPORARY TABLE stage_entry (
    number bigint, is_group boolean, item_id text, sku text, product_group_id text, held boolean, changed boolean,
    shard int, item_path text, brand_id text, brand_name text, brand_code text, code text, path text, message text,
    document text, changes_at timestamptz
);
CREATE TEMPORARY TABLE stage_group (
    number bigint, group_id text, brand_id text, brand_name text, product_group_id text, name text, description text,
    url text, image text, categories text[], category_ids text[], varies_by text[], media jsonb, document jsonb,
    document_hash bytea
) WITH (toast_tuple_target = 8160);
CREATE TEMPORARY TABLE stage_product (
    number bigint, product_id text, brand_id text, brand_name text, inherits_brand boolean, group_id text, sku text,
    name text, description text, url text, images text[], categories text[], category_ids text[], attributes jsonb,
    gtin text, mpn text, in_stock boolean, prices_change_at timestamptz, remarks text[], document jsonb,
    document_hash bytea
) WITH (toast_tuple_target = 8160);
CREATE TEMPORARY TABLE stage_offer (
    number bigint, product_id text, offer_number int, seller_id text, price numeric, currency text, list_price numeric,
    low_price numeric, high_price numeric, offer_count int, other_prices jsonb, price_valid_until timestamptz,
    availability text, inventory_level numeric, url text
);
