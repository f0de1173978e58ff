SELECT remark, count(*) FROM catalog.product, unnest(remarks) AS remark
WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
GROUP BY remark ORDER BY remark
