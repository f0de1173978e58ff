SELECT message_id, owner, subject, content FROM ops.alert_message WHERE state = 'reserved' AND settled_at IS NULL ORDER BY created_at
