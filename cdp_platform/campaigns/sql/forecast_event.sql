WITH people AS MATERIALIZED (
    SELECT DISTINCT profile_id FROM ({people}) AS segment
), {decision}
INSERT INTO pg_temp.forecast (turn, event_id, profile_id, address_hash, channel, reason, time_zone, due_at, sent_at)
SELECT %(turn)s, %(event)s, profile_id, address_hash, %(channel)s, reason, zone, due_at, due_at FROM decided
