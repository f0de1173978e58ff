-- A term scores by its share in the cluster times the logarithm of how much larger that is than its share in all; where
-- all are one cluster, by its share. A term of one or two people could tell who they are, and a long one is prose.
WITH size AS (
    SELECT cluster, count(*) AS members, sum(count(*)) OVER () AS everybody
    FROM embeddings.profile_cluster WHERE tenant_id = %(tenant_id)s GROUP BY cluster
), counted AS (
    SELECT c.cluster, t.term, count(*) AS people, sum(count(*)) OVER (PARTITION BY t.term) AS people_of_all
    FROM embeddings.profile_cluster AS c
    JOIN embeddings.passage AS p ON p.tenant_id = c.tenant_id AND p.kind = 'profile' AND p.entity_id = c.profile_id
    CROSS JOIN LATERAL (
        SELECT DISTINCT btrim(piece) AS term FROM string_to_table(translate(p.content, ';', ','), ',') AS piece
    ) AS t
    WHERE c.tenant_id = %(tenant_id)s AND length(t.term) BETWEEN 1 AND 60
    GROUP BY c.cluster, t.term
), placed AS (
    SELECT c.cluster, c.term, row_number() OVER (
        PARTITION BY c.cluster
        ORDER BY c.people * ln((c.people * s.everybody) / (s.members * c.people_of_all)) DESC, c.people DESC, c.term
    ) AS place
    FROM counted AS c JOIN size AS s USING (cluster)
    WHERE c.people >= 3 AND c.people * s.everybody >= c.people_of_all * s.members
)
SELECT s.cluster, s.members, array_remove(array_agg(p.term ORDER BY p.place), NULL)
FROM size AS s LEFT JOIN placed AS p ON p.cluster = s.cluster AND p.place <= 5
GROUP BY s.cluster, s.members ORDER BY s.cluster
