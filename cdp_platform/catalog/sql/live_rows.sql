-- Numbers of live rows of each organization of an ingestor.
SELECT o.organization_id, o.name,
       (SELECT count(*) FROM catalog.brand AS t
        WHERE t.tenant_id = o.tenant_id AND t.organization_id = o.organization_id AND t.removed_at IS NULL) AS brands,
       (SELECT count(*) FROM catalog.category AS t
        WHERE t.tenant_id = o.tenant_id AND t.organization_id = o.organization_id) AS categories,
       (SELECT count(*) FROM catalog.product_group AS t
        WHERE t.tenant_id = o.tenant_id AND t.organization_id = o.organization_id AND t.removed_at IS NULL) AS groups,
       (SELECT count(*) FROM catalog.product AS t
        WHERE t.tenant_id = o.tenant_id AND t.organization_id = o.organization_id AND t.removed_at IS NULL) AS products,
       (SELECT count(*) FROM catalog.offer AS t
        WHERE t.tenant_id = o.tenant_id AND t.organization_id = o.organization_id AND t.removed_at IS NULL) AS offers
FROM catalog.organization AS o
WHERE o.tenant_id = %(tenant)s AND o.ingestor = %(ingestor)s AND o.removed_at IS NULL
ORDER BY o.organization_id
