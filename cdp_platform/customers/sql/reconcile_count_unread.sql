SELECT count(*) FILTER (WHERE missing), count(*) FILTER (WHERE NOT missing) FROM unread_key
