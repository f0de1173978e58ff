SELECT product_id, CASE WHEN prices_change_at <= %(now)s THEN ''::bytea ELSE document_hash END FROM catalog.product
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND product_id = ANY (ARRAY(SELECT json_array_elements_text(%(ids)s)))
  AND removed_at IS NULL
