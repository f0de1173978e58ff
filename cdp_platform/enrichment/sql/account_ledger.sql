SELECT known, under_way, unknown, phones_pending, moved_at, coalesce(quiet_seconds, 'infinity') AS quiet_seconds
FROM enrichment.account_ledger(%s, %s)
