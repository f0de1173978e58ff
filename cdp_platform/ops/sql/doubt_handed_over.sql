UPDATE {table} SET state = 'unknown', reason = 'the warehouse was restored from a backup'
WHERE {whose} AND state = 'handed_over'
