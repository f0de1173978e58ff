UPDATE catalog.organization SET removed_at = now(), synced_at = now()
WHERE tenant_id = %(tenant)s AND ingestor = %(ingestor)s AND removed_at IS NULL AND organization_id <> ALL (%(listed)s)
