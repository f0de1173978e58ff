SELECT read_at, consumed, cycle FROM enrichment.account_reading WHERE account = %s ORDER BY read_at DESC
