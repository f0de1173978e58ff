-- What a row says of moments, consent and numbers, and with which version of the mapping each source was read.

ALTER TABLE ops.sync_watermark ADD COLUMN mapper_version int, ADD COLUMN undated_count bigint;
COMMENT ON COLUMN ops.sync_watermark.stamp IS 'The greatest moment that the source gave, as ISO 8601 in UTC; never the clock of the platform.';
COMMENT ON COLUMN ops.sync_watermark.mapper_version IS 'Version of the mapping that all rows of the source were made with. Where the platform has another, the next sync reads everything again.';
COMMENT ON COLUMN ops.sync_watermark.undated_count IS 'Documents of the source whose updatedAt is no moment or lies in the future, when it was last read to its end. Every sync reads them again.';

-- Row-level security holds for the owner too. These statements are about the rows of all tenants.
ALTER TABLE customers.cdp_profiles NO FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.click_event NO FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.signup_event NO FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.touched_quarter NO FORCE ROW LEVEL SECURITY;

-- Consent has three values. 0 was stored as a refusal until now.
CREATE FUNCTION pg_temp.consent(code jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN CASE jsonb_typeof(code)
    WHEN 'boolean' THEN code::boolean
    WHEN 'number' THEN CASE WHEN code::numeric = 1 THEN true WHEN code::numeric < 0 THEN false END
END;
-- No trigger follows these columns.
ALTER TABLE customers.cdp_profiles DISABLE TRIGGER USER;
UPDATE customers.cdp_profiles SET
    receive_email = pg_temp.consent(document -> 'receiveEmail'),
    receive_sms = pg_temp.consent(document -> 'receiveSMS'),
    receive_web_push = pg_temp.consent(document -> 'receiveWebPush'),
    receive_app_push = pg_temp.consent(document -> 'receiveAppPush'),
    receive_ads = pg_temp.consent(document -> 'receiveAds')
WHERE (receive_email, receive_sms, receive_web_push, receive_app_push, receive_ads) IS DISTINCT FROM (
    pg_temp.consent(document -> 'receiveEmail'), pg_temp.consent(document -> 'receiveSMS'),
    pg_temp.consent(document -> 'receiveWebPush'), pg_temp.consent(document -> 'receiveAppPush'),
    pg_temp.consent(document -> 'receiveAds'));
ALTER TABLE customers.cdp_profiles ENABLE TRIGGER USER;
COMMENT ON COLUMN customers.cdp_profiles.receive_email IS 'true: agreed (1 in the CDP), false: refused or blocked (-1), NULL: no data (0). The CDP sets 1 by itself when an address is entered, so true proves no consent.';
COMMENT ON COLUMN customers.cdp_profiles.receive_sms IS 'As receive_email. The CDP sets 1 by itself when a phone number is entered.';
COMMENT ON COLUMN customers.cdp_profiles.receive_web_push IS 'true: agreed (1 in the CDP), false: refused or blocked (-1), NULL: no data (0).';
COMMENT ON COLUMN customers.cdp_profiles.receive_app_push IS 'As receive_web_push.';
COMMENT ON COLUMN customers.cdp_profiles.receive_ads IS 'As receive_web_push. The CDP sets 1 for every new profile.';

-- NaN is above every number to PostgreSQL. As a score it says nothing.
CREATE OR REPLACE FUNCTION referrals.is_flagged(fraud_score double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(fraud_score > 7 AND fraud_score <> 'NaN', false);
INSERT INTO referrals.touched_quarter (tenant_id, starts_at)
SELECT DISTINCT tenant_id, date_bin('15 minutes', occurred_at, 'epoch') FROM (
    SELECT tenant_id, occurred_at FROM referrals.click_event WHERE fraud_score = 'NaN'
    UNION ALL
    SELECT tenant_id, occurred_at FROM referrals.signup_event WHERE fraud_score = 'NaN'
) AS unscored;
COMMENT ON COLUMN referrals.click_event.fraud_score IS 'Above 7 the click is flagged. NULL and NaN: no score.';
COMMENT ON COLUMN referrals.signup_event.fraud_score IS 'Above 7 the signup is flagged. NULL and NaN: no score.';

ALTER TABLE customers.cdp_profiles FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.click_event FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.signup_event FORCE ROW LEVEL SECURITY;
ALTER TABLE referrals.touched_quarter FORCE ROW LEVEL SECURITY;

-- A bound below lets NaN and infinity pass. Rows that have them already stay, and are refused when they change.
ALTER TABLE customers.tenant_metrics_config
    ADD CONSTRAINT finite_expected_lifetime_years CHECK (expected_lifetime_years < 'Infinity') NOT VALID,
    ADD CONSTRAINT finite_cac CHECK (cac < 'Infinity') NOT VALID,
    ADD CONSTRAINT finite_clv_happy_threshold CHECK (clv_happy_threshold < 'Infinity') NOT VALID;
ALTER TABLE embeddings.embedding_model
    ADD CONSTRAINT finite_price CHECK (price_per_million_tokens < 'Infinity') NOT VALID;
