UPDATE {table} SET state = 'handed_over' WHERE {whose} AND state = 'reserved'
