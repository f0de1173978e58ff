SELECT r.ctid FROM ops.rejected_record AS r
WHERE r.tenant_id = %(tenant)s AND (r.resolved_at < %(until)s OR r.read_once AND r.last_seen_at < %(until)s)
