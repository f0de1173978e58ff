CREATE TEMPORARY TABLE forecast (
    turn int NOT NULL, event_id text NOT NULL, profile_id text NOT NULL, address_hash bytea, channel text NOT NULL,
    reason text, time_zone text, due_at timestamptz, sent_at timestamptz
) ON COMMIT DROP
