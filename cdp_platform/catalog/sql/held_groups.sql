SELECT group_id, document_hash FROM catalog.product_group
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND group_id = ANY (ARRAY(SELECT json_array_elements_text(%(ids)s)))
  AND removed_at IS NULL
