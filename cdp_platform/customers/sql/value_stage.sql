CREATE TEMPORARY TABLE stage_value (
    number int NOT NULL, profile_id text NOT NULL, currency text NOT NULL, orders bigint NOT NULL, spend numeric,
    first_purchase timestamptz, last_purchase timestamptz,
    recency_score smallint, frequency_score smallint, monetary_score smallint,
    frequency float8, recency float8, age float8, mean float8
) ON COMMIT DROP;
CREATE TEMPORARY TABLE stage_expectation (
    number int NOT NULL, orders float8, spend float8, alive float8
) ON COMMIT DROP
