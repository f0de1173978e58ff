-- Seconds until the gate lets somebody through, and why it does not now; 0 of a gate that nobody knows.
SELECT
    coalesce(max(greatest(extract(epoch FROM w.until - clock_timestamp()), 0)), 0)::float8 AS seconds,
    max(g.reason) AS reason
FROM ops.gate AS g
CROSS JOIN LATERAL (
    SELECT greatest(g.rests_until, g.open_until, CASE WHEN g.open_until IS NOT NULL THEN g.probe_until END) AS until
) AS w
WHERE g.name = %s AND isfinite(w.until)
