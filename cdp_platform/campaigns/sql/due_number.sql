-- How many are due, counted up to as many as one batch takes.
SELECT count(*) FROM (
    SELECT FROM campaigns.delivery_log
    WHERE tenant_id = %(tenant)s AND event_id = %(event)s AND state IN ('reserved', 'unknown')
      AND due_at <= statement_timestamp() AND (lease_until IS NULL OR lease_until < statement_timestamp())
    LIMIT %(at_most)s) AS due
