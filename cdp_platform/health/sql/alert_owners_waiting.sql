SELECT DISTINCT owner FROM ops.alert_message WHERE state = 'reserved' AND settled_at IS NULL
