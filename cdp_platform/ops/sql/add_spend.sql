-- Returns what is spent then, and locks the row also where nothing is added.
INSERT INTO {table} AS s (tenant_id, account, day, unit, amount)
VALUES (%(tenant)s, %(account)s, %(day)s, %(unit)s, %(amount)s)
ON CONFLICT (tenant_id, account, day, unit) DO UPDATE SET amount = s.amount + excluded.amount
RETURNING amount
