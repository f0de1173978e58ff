MERGE INTO embeddings.profile_cluster AS held
USING (
    -- A profile that lost its vector since it was read (closed, deleted) is left out.
    SELECT e.tenant_id, s.profile_id, s.cluster
    FROM stage_profile_cluster AS s
    JOIN embeddings.embedding AS e ON e.entity_id = s.profile_id
    WHERE e.tenant_id = %(tenant_id)s AND e.kind = 'profile' AND e.model_id = %(model_id)s
) AS found ON held.tenant_id = found.tenant_id AND held.profile_id = found.profile_id
WHEN MATCHED AND held.cluster <> found.cluster THEN UPDATE SET cluster = found.cluster, computed_at = now()
WHEN NOT MATCHED THEN INSERT (tenant_id, profile_id, cluster)
    VALUES (found.tenant_id, found.profile_id, found.cluster)
WHEN NOT MATCHED BY SOURCE AND held.tenant_id = %(tenant_id)s THEN DELETE
