-- Seconds until the gate lets somebody through, why it does not now, and whether the breaker is open; 0 of a gate that
-- nobody knows.
SELECT
    coalesce(max(greatest(extract(epoch FROM w.until - clock_timestamp()), 0)), 0)::float8 AS seconds,
    max(CASE WHEN w.until = spent.until THEN 'it says that no request is left until then' ELSE g.reason END) AS reason,
    coalesce(bool_or(greatest(g.open_until, CASE WHEN g.open_until IS NOT NULL THEN g.probe_until END) > clock_timestamp()),
        false) AS is_broken
FROM ops.gate AS g
CROSS JOIN LATERAL (
    SELECT max(ops.allowance_ends(a)) FROM ops.gate_allowance AS a WHERE a.name = g.name AND a.turns_left = 0
) AS spent (until)
CROSS JOIN LATERAL (
    SELECT greatest(
        g.rests_until, g.open_until, CASE WHEN g.open_until IS NOT NULL THEN g.probe_until END, spent.until
    ) AS until
) AS w
WHERE g.name = %s AND isfinite(w.until)
