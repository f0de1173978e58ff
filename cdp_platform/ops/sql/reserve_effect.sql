INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT (tenant_id, {key}) DO NOTHING
