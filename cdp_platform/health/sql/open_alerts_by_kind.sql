SELECT tenant, kind, count(*) FROM ops.alert WHERE state = 'open' GROUP BY tenant, kind
