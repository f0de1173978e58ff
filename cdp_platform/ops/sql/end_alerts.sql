-- Those that are said to be over; those of kinds that were looked at as a whole and not found; those of retired tenants.
UPDATE ops.alert AS a SET state = 'ended', ended_at = now()
WHERE a.state = 'open' AND (
    EXISTS (
        SELECT FROM unnest(%(kinds)s::text[], %(subjects)s::text[], %(tenants)s::text[]) AS o (kind, subject, tenant)
        WHERE (o.kind, o.subject, o.tenant) = (a.kind, a.subject, a.tenant)
    )
    OR a.kind = ANY (%(judged)s) AND a.last_at < now()
    OR a.tenant <> '' AND NOT EXISTS (
        SELECT FROM ops.registered_tenants() AS t WHERE t.tenant_id = a.tenant AND t.status = 'active'
    )
)
