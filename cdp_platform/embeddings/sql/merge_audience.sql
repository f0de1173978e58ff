MERGE INTO embeddings.lookalike_audience AS held
USING (
    -- A profile that lost its vector since it was read (closed, deleted) is left out.
    SELECT e.tenant_id, %(segment_id)s::text AS segment_id, s.profile_id, s.similarity, s.place
    FROM stage_lookalike_audience AS s
    JOIN embeddings.embedding AS e ON e.entity_id = s.profile_id
    WHERE e.tenant_id = %(tenant_id)s AND e.kind = 'profile' AND e.model_id = %(model_id)s
) AS found
ON held.tenant_id = found.tenant_id AND held.segment_id = found.segment_id AND held.profile_id = found.profile_id
WHEN MATCHED AND (held.similarity, held.place) <> (found.similarity, found.place)
    THEN UPDATE SET similarity = found.similarity, place = found.place, computed_at = now()
WHEN NOT MATCHED THEN INSERT (tenant_id, segment_id, profile_id, similarity, place)
    VALUES (found.tenant_id, found.segment_id, found.profile_id, found.similarity, found.place)
WHEN NOT MATCHED BY SOURCE AND held.tenant_id = %(tenant_id)s AND held.segment_id = %(segment_id)s THEN DELETE
