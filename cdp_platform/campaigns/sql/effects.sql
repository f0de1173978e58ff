SELECT {columns} FROM campaigns.effect
WHERE tenant_id = %(tenant)s AND (%(event)s::text IS NULL OR event_id = %(event)s)
ORDER BY measured_until, event_id, holdout, currency
