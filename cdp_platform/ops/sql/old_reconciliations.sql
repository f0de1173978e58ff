-- The check `in_step_with_source` and people look at the last one.
SELECT r.ctid FROM ops.reconciliation AS r
WHERE r.tenant_id = %(tenant)s AND r.compared_at < %(until)s AND EXISTS (
    SELECT FROM ops.reconciliation AS later
    WHERE later.tenant_id = r.tenant_id AND later.source = r.source AND later.compared_at > r.compared_at)
