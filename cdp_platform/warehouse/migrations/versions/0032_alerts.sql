-- Alerts, and the messages that tell people of them. Both belong to the platform: a message is about many tenants, and neither
-- holds data of a person.

CREATE TABLE ops.alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    tenant text NOT NULL DEFAULT '',
    room text NOT NULL DEFAULT '',
    owners text[] NOT NULL DEFAULT '{}',
    message text NOT NULL,
    run_id text,
    figure bigint,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'ended')),
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    count bigint NOT NULL DEFAULT 1 CHECK (count > 0),
    told_at timestamptz,
    told_count bigint NOT NULL DEFAULT 0,
    end_told boolean NOT NULL DEFAULT false,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (state = 'ended' OR NOT end_told)
);
COMMENT ON TABLE ops.alert IS 'One row per thing that is wrong, from the moment it was found until it ended. Belongs to the platform; may name a tenant, never a person.';
COMMENT ON COLUMN ops.alert.alert_id IS 'Number of the alert.';
COMMENT ON COLUMN ops.alert.kind IS 'What kind of thing is wrong, such as run, check or breaker: cdp_platform.ops.alerts has the list.';
COMMENT ON COLUMN ops.alert.subject IS 'What is wrong: a job, a check, a source, an account, a daemon.';
COMMENT ON COLUMN ops.alert.tenant IS 'The tenant that it concerns; empty: none or all.';
COMMENT ON COLUMN ops.alert.room IS 'The room that it belongs to; empty: the platform.';
COMMENT ON COLUMN ops.alert.owners IS 'Owners of the asset, as Dagster has them.';
COMMENT ON COLUMN ops.alert.message IS 'What was found last, and what to do.';
COMMENT ON COLUMN ops.alert.run_id IS 'The latest run of Dagster that shows it.';
COMMENT ON COLUMN ops.alert.figure IS 'How many there were at the last look, of what is counted again only while it grows.';
COMMENT ON COLUMN ops.alert.state IS 'open, or ended.';
COMMENT ON COLUMN ops.alert.first_at IS 'When it was first found.';
COMMENT ON COLUMN ops.alert.last_at IS 'When it was last found.';
COMMENT ON COLUMN ops.alert.ended_at IS 'When it was found to be over.';
COMMENT ON COLUMN ops.alert.count IS 'How often it was found.';
COMMENT ON COLUMN ops.alert.told_at IS 'When it was last written into a message; NULL: never.';
COMMENT ON COLUMN ops.alert.told_count IS 'How often it had been found by then.';
COMMENT ON COLUMN ops.alert.end_told IS 'Whether its end was written into a message.';
CREATE UNIQUE INDEX alert_open ON ops.alert (kind, subject, tenant) WHERE state = 'open';
CREATE INDEX alert_ended ON ops.alert (ended_at) WHERE state = 'ended';
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.alert TO cdp_platform;

CREATE TABLE ops.alert_message (
    message_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    channel text NOT NULL,
    subject text NOT NULL,
    content text NOT NULL,
    state ops.effect_state NOT NULL DEFAULT 'reserved',
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz
);
COMMENT ON TABLE ops.alert_message IS 'One row per message about alerts: a ledger with the states of ops.effects. Belongs to the platform.';
COMMENT ON COLUMN ops.alert_message.message_id IS 'Message-ID and Idempotency-Key.';
COMMENT ON COLUMN ops.alert_message.owner IS 'For whom it is, as CDP_ALERTS_TO names owners; * for all others.';
COMMENT ON COLUMN ops.alert_message.channel IS 'Name of the channel in channels.yaml that it was first given to.';
COMMENT ON COLUMN ops.alert_message.subject IS 'Subject in one line.';
COMMENT ON COLUMN ops.alert_message.content IS 'The text.';
COMMENT ON COLUMN ops.alert_message.state IS 'reserved (waits for the channel), handed_over, confirmed, failed or unknown; ops.effect_move has the moves.';
COMMENT ON COLUMN ops.alert_message.reason IS 'Why it waits, failed or is unknown.';
COMMENT ON COLUMN ops.alert_message.created_at IS 'When it was written.';
COMMENT ON COLUMN ops.alert_message.settled_at IS 'When it became confirmed, failed or unknown.';
CREATE INDEX alert_message_open ON ops.alert_message (created_at) WHERE settled_at IS NULL;
SELECT ops.guard_effects('ops.alert_message');
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.alert_message TO cdp_platform;
