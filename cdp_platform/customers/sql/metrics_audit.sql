-- A random sample of customers, computed anew as of the last refresh and compared with what is stored.
WITH asked AS MATERIALIZED (
    SELECT array_agg(profile_id) AS profile_ids FROM (
        SELECT profile_id FROM customers.cdp_profiles
        WHERE tenant_id = %(tenant)s AND profile_id NOT IN (
            SELECT unnest(profile_ids) FROM customers.touched_customer WHERE tenant_id = %(tenant)s)
        ORDER BY random() LIMIT %(sample)s) AS drawn
),
fresh AS (
    SELECT f.* FROM customers.metrics_refresh AS r, asked,
        customers.customer_figures(%(tenant)s, r.as_of, coalesce(asked.profile_ids, '{}')) AS f
    WHERE r.tenant_id = %(tenant)s
),
stored AS (
    SELECT m.* FROM customers.customer_metrics AS m, asked, customers.metrics_refresh AS r
    WHERE m.tenant_id = %(tenant)s AND r.tenant_id = %(tenant)s AND m.profile_id = ANY (asked.profile_ids)
)
SELECT count(*), count(*) FILTER (WHERE
    (f.last_purchase, f.freq_90d, f.avg_order_value, f.monetary_90d, f.clv_est, f.experience_score, f.segment)
    IS DISTINCT FROM
    (s.last_purchase, s.freq_90d, s.avg_order_value, s.monetary_90d, s.clv_est, s.experience_score, s.segment))
FROM fresh AS f FULL JOIN stored AS s USING (profile_id, currency)
