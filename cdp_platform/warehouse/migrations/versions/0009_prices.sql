-- Catalogue: the prices beside the one that is paid, ranges, brands of groups, and when a price changes by itself.

ALTER TABLE catalog.offer
    ADD COLUMN list_price numeric,
    ADD COLUMN low_price numeric,
    ADD COLUMN high_price numeric,
    ADD COLUMN offer_count int,
    ADD COLUMN other_prices jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN catalog.offer.price IS 'What an ordinary customer pays for one at the time of the round, exactly as the feed has it, in currency (ISO 4217). Of a range, its lower end.';
COMMENT ON COLUMN catalog.offer.list_price IS 'The price that the price is compared with, in the same currency: the list price, else the struck-through, regular or suggested one. NULL if none is stated.';
COMMENT ON COLUMN catalog.offer.low_price IS 'The lowest price, where the offer stands for a range of offers; NULL for an offer of one price.';
COMMENT ON COLUMN catalog.offer.high_price IS 'The highest price of such a range; NULL if it is not stated.';
COMMENT ON COLUMN catalog.offer.offer_count IS 'How many offers such a range stands for; NULL if it is not stated.';
COMMENT ON COLUMN catalog.offer.other_prices IS 'Every other price that is stated, a list of objects: kind (list, member, quantity, per_unit, expired, ...), and price, currency, valid_from and valid_through as they are stated.';
COMMENT ON COLUMN catalog.offer.price_valid_until IS 'The last moment at which the price holds. A date ends with its day (UTC).';

ALTER TABLE catalog.product
    ADD COLUMN inherits_brand boolean NOT NULL DEFAULT false,
    ADD COLUMN prices_change_at timestamptz,
    ADD COLUMN remarks text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN catalog.product.inherits_brand IS 'The product names no brand, and has the brand of its group.';
COMMENT ON COLUMN catalog.product.prices_change_at IS 'When the next stated price begins or ends; the product is then understood again. NULL if no price has a time ahead.';
COMMENT ON COLUMN catalog.product.remarks IS 'Codes of what was noticed that did not cost the product, such as gtin_not_valid or price_finer_than_currency.';
COMMENT ON COLUMN catalog.product.gtin IS 'A valid GTIN of 8, 12, 13 or 14 digits; NULL if none is stated that is valid.';

ALTER TABLE catalog.feed_round ADD COLUMN next_change_at timestamptz;
COMMENT ON COLUMN catalog.feed_round.next_change_at IS 'When the next price of the feed begins or ends. The feed is then taken again, also if no file changed.';

-- Every feed and registry is to be read again: the same files now give other rows.
ALTER TABLE catalog.feed_state NO FORCE ROW LEVEL SECURITY;
DELETE FROM catalog.feed_state;
ALTER TABLE catalog.feed_state FORCE ROW LEVEL SECURITY;
