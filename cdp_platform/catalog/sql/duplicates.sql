-- If several items of the feed have the same value of a unique column, the first is taken and the others are rejected.
WITH ranked AS (
    SELECT number, row_number() OVER (PARTITION BY is_group, {value} ORDER BY number) AS place
    FROM stage_entry WHERE code IS NULL AND {value} IS NOT NULL AND is_group = ANY (%(groups)s)
), loser AS (
    UPDATE stage_entry AS e
    SET code = %(code)s, message = %(message)s, path = item_path || %(step)s, document = staged.document
    FROM (
        SELECT r.number, coalesce(g.document, p.document)::text AS document
        FROM ranked AS r LEFT JOIN stage_group AS g USING (number) LEFT JOIN stage_product AS p USING (number)
        WHERE r.place > 1
    ) AS staged
    WHERE e.number = staged.number
    RETURNING e.number
), without_group AS (
    DELETE FROM stage_group AS s USING loser AS l WHERE s.number = l.number
), without_product AS (
    DELETE FROM stage_product AS s USING loser AS l WHERE s.number = l.number
)
DELETE FROM stage_offer AS s USING loser AS l WHERE s.number = l.number
