-- Rejected events that only lacked their link, which has come.
SELECT r.document_key FROM ops.rejected_record AS r
JOIN referrals.referral_link AS l ON l.tenant_id = r.tenant_id AND l.referral_link_id = r.document ->> 'referral_link_id'
WHERE r.tenant_id = %(tenant)s AND r.source = %(source)s AND r.resolved_at IS NULL AND r.code = 'unknown_link'
