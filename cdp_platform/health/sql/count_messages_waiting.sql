SELECT count(*) FROM ops.alert_message WHERE settled_at IS NULL
