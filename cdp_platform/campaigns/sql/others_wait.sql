SELECT EXISTS (SELECT FROM campaigns.due() AS d WHERE d.what = 'begin' AND d.due_at < now() - %(since)s::interval)
