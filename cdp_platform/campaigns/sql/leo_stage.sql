CREATE TEMPORARY TABLE leo_row (
    relation text NOT NULL,
    key text NOT NULL,
    document jsonb NOT NULL,
    -- The CDP's key of the person; NULL where that profile is not here.
    profile_id text,
    event_id text,
    campaign_code text,
    channel text,
    -- State and reason that a delivery is to have, and whether it failed and a later one to the same person counts in its place.
    state ops.effect_state,
    reason text,
    superseded boolean NOT NULL DEFAULT false,
    -- Why the row is left out; what a person should know of a row that is taken.
    code text,
    remark text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE leo_channel (spelling text PRIMARY KEY, channel text NOT NULL, is_known boolean NOT NULL) ON COMMIT DROP
