-- If rows have the same value in a unique column, the first is accepted and the others are rejected.
UPDATE {stage} AS s SET code = %(code)s, message = %(message)s, path = %(path)s
FROM (
    SELECT ctid, row_number() OVER (PARTITION BY {column} ORDER BY {first}) AS place
    FROM {stage}
    WHERE code IS NULL
      AND {column} IN (SELECT {column} FROM {stage} WHERE code IS NULL GROUP BY 1 HAVING count(*) > 1)
) AS ranked
WHERE s.ctid = ranked.ctid AND ranked.place > 1
