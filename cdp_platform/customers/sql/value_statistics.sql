-- One row per currency; each column of numbers in one piece, in the binary form that numpy reads.
SELECT currency,
       string_agg(int4send(number), '') FILTER (WHERE frequency IS NOT NULL),
       string_agg(float8send(frequency), '') FILTER (WHERE frequency IS NOT NULL),
       string_agg(float8send(recency), '') FILTER (WHERE frequency IS NOT NULL),
       string_agg(float8send(age), '') FILTER (WHERE frequency IS NOT NULL),
       string_agg(float8send(coalesce(mean, 0)), '') FILTER (WHERE frequency IS NOT NULL)
FROM (SELECT * FROM stage_value ORDER BY currency, number) AS in_order
GROUP BY currency
ORDER BY currency
