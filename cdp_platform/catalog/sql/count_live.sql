SELECT (
    SELECT count(*) FROM catalog.product_group
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
), (
    SELECT count(*) FROM catalog.product
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
), (
    SELECT count(*) FROM catalog.offer
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
), (
    SELECT count(*) FROM catalog.product AS p
    WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
      AND group_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM catalog.product_group AS g
        WHERE g.tenant_id = p.tenant_id AND g.organization_id = p.organization_id AND g.group_id = p.group_id
          AND g.removed_at IS NULL
    )
), (
    -- When the next price of the feed begins or ends, of live items and of items that were rejected for their prices.
    SELECT min(moment) FROM (
        SELECT prices_change_at AS moment FROM catalog.product
        WHERE tenant_id = %(tenant)s AND organization_id = %(organization)s AND removed_at IS NULL
        UNION ALL
        SELECT changes_at FROM stage_entry
    ) AS ahead WHERE moment > %(now)s
)
