-- Every category and those above it, with the spelling of the first item that has it.
INSERT INTO catalog.category (tenant_id, organization_id, category_id, name, parent_id)
SELECT DISTINCT ON (category_id) %(tenant)s, %(organization)s, category_id, name, parent_id
FROM (
    SELECT array_to_string(ids[:depth], '/') AS category_id, names[depth] AS name,
           nullif(array_to_string(ids[:depth - 1], '/'), '') AS parent_id
    FROM (
        SELECT DISTINCT string_to_array(c.id, '/') AS ids, string_to_array(c.name, ' > ') AS names
        FROM (SELECT category_ids, categories FROM stage_group UNION ALL SELECT category_ids, categories FROM stage_product)
            AS s, unnest(s.category_ids, s.categories) AS c (id, name)
    ) AS paths, generate_series(1, cardinality(ids)) AS depth
) AS found
ORDER BY category_id, name
ON CONFLICT DO NOTHING
