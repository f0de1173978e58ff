SELECT event_id, count(*) FROM (
    SELECT earlier.event_id, f.profile_id FROM pg_temp.forecast AS f
    JOIN pg_temp.forecast AS earlier ON earlier.profile_id = f.profile_id
    WHERE f.turn = %(turn)s AND f.reason = 'capped' AND earlier.turn < f.turn AND earlier.reason IS NULL
      AND earlier.sent_at > %(moment)s::timestamptz - make_interval(hours => %(cap_hours)s)
    UNION
    SELECT earlier.event_id, f.profile_id FROM pg_temp.forecast AS f
    JOIN pg_temp.forecast AS earlier ON earlier.address_hash = f.address_hash
    WHERE f.turn = %(turn)s AND f.reason = 'capped' AND earlier.turn < f.turn AND earlier.reason IS NULL
      AND earlier.sent_at > %(moment)s::timestamptz - make_interval(hours => %(cap_hours)s)
) AS counted
GROUP BY event_id ORDER BY event_id
