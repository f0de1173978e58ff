-- An alert that is open already is counted once more; one with a figure only if the figure has grown.
INSERT INTO ops.alert AS a (kind, subject, tenant, room, owners, message, run_id, figure)
VALUES (%(kind)s, %(subject)s, %(tenant)s, %(room)s, %(owners)s, %(message)s, %(run_id)s, %(figure)s)
ON CONFLICT (kind, subject, tenant) WHERE state = 'open' DO UPDATE SET
    room = EXCLUDED.room,
    owners = EXCLUDED.owners,
    message = EXCLUDED.message,
    run_id = coalesce(EXCLUDED.run_id, a.run_id),
    figure = EXCLUDED.figure,
    last_at = now(),
    count = a.count + CASE WHEN EXCLUDED.figure <= a.figure THEN 0 ELSE 1 END
RETURNING count = 1 AND first_at = now() AS new
