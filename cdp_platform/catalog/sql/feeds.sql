-- Organizations of an ingestor, live or with live products: their feed, and whether they left the registry.
SELECT organization_id, feed_url, removed_at IS NOT NULL FROM catalog.organization AS o
WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND (
    removed_at IS NULL
    OR EXISTS (
        SELECT FROM catalog.product AS p
        WHERE p.tenant_id = o.tenant_id AND p.organization_id = o.organization_id AND p.removed_at IS NULL
    )
    OR EXISTS (
        SELECT FROM catalog.product_group AS g
        WHERE g.tenant_id = o.tenant_id AND g.organization_id = o.organization_id AND g.removed_at IS NULL
    )
)
ORDER BY organization_id
