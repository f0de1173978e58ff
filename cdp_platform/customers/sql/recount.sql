-- Counts the rows of a collection one by one; returns by how much the counter was wrong.
WITH before AS (
    SELECT held_rows, deleted_rows FROM ops.sync_watermark WHERE tenant_id = %(tenant)s AND source = %(source)s
), counted AS (
    SELECT count(*) AS held_rows, count(*) FILTER (WHERE closed_reason = 'deleted') AS deleted_rows
    FROM {table} WHERE tenant_id = %(tenant)s
), noted AS (
    INSERT INTO ops.sync_watermark (tenant_id, source, held_rows, deleted_rows)
    SELECT %(tenant)s, %(source)s, held_rows, deleted_rows FROM counted
    ON CONFLICT (tenant_id, source) DO UPDATE
    SET held_rows = excluded.held_rows, deleted_rows = excluded.deleted_rows
)
SELECT coalesce(abs(c.held_rows - b.held_rows) + abs(c.deleted_rows - b.deleted_rows), 0)
FROM counted AS c LEFT JOIN before AS b ON true
