SELECT reason, count(*), min(sent_at) FILTER (WHERE reason IS NULL), max(sent_at) FILTER (WHERE reason IS NULL)
FROM pg_temp.forecast WHERE turn = %(turn)s GROUP BY reason
