UPDATE pg_temp.forecast SET reason = 'too_late' WHERE turn = %(turn)s AND reason IS NULL AND sent_at > %(end_at)s
