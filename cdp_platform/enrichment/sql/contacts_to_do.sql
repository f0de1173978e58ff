-- Contacts of searches that are paid for, whose outcome is not final and that no lost answer holds up.
SELECT coalesce(sum(waiting + original), 0)::bigint
FROM enrichment.search WHERE tenant_id = %(tenant)s AND status IN ('paid', 'enriching')
