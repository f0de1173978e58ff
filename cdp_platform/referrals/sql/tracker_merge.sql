-- Write rows that are new or differ, and leave the others untouched; returns the number of new and of differing rows.
WITH differing AS MATERIALIZED (
    SELECT {staged}, t.{key} IS NULL AS is_new
    FROM {stage} AS s LEFT JOIN {target} AS t ON t.tenant_id = %(tenant)s AND t.{key} = s.{key}
    WHERE s.code IS NULL AND (t.{key} IS NULL OR ({staged}) IS DISTINCT FROM ({held}))
), written AS (
    INSERT INTO {target} (tenant_id, {columns}) SELECT %(tenant)s, {columns} FROM differing
    ON CONFLICT (tenant_id, {key}) DO UPDATE SET {assignments}
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM differing
