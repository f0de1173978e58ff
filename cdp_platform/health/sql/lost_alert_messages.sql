UPDATE ops.alert_message
SET state = 'unknown', settled_at = now(), reason = 'The process that sent it died before the answer.'
WHERE state = 'handed_over'
