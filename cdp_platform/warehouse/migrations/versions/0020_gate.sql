-- The gate: how often an outside account may be called, for how long it is left alone, and a breaker for all processes.
-- It belongs to no tenant: tenants may share an account.

CREATE TABLE ops.gate (
    name text PRIMARY KEY,
    rests_until timestamptz NOT NULL DEFAULT '-infinity',
    failures int NOT NULL DEFAULT 0,
    openings int NOT NULL DEFAULT 0,
    open_until timestamptz,
    probe_until timestamptz,
    reason text
) WITH (fillfactor = 50);
COMMENT ON TABLE ops.gate IS 'One row per account and kind of call: whether it may be called now. Belongs to the platform and says nothing of any tenant.';
COMMENT ON COLUMN ops.gate.name IS 'The account and kind of call.';
COMMENT ON COLUMN ops.gate.rests_until IS 'No turn is granted before this moment: the outside system asked for that.';
COMMENT ON COLUMN ops.gate.failures IS 'Calls that failed since the last answer.';
COMMENT ON COLUMN ops.gate.openings IS 'How often the breaker opened since the last answer.';
COMMENT ON COLUMN ops.gate.open_until IS 'The breaker is open, with no calls, until this moment; after it one probe is let through. NULL: closed.';
COMMENT ON COLUMN ops.gate.probe_until IS 'End of the lease of the probe that is under way.';
COMMENT ON COLUMN ops.gate.reason IS 'Why it last rested or failed.';
GRANT SELECT, INSERT, UPDATE ON ops.gate TO cdp_platform;

CREATE TABLE ops.gate_window (
    name text NOT NULL REFERENCES ops.gate ON DELETE CASCADE,
    seconds int NOT NULL CHECK (seconds > 0),
    turns int NOT NULL CHECK (turns > 0),
    next_turn int NOT NULL DEFAULT 0,
    moments timestamptz[] NOT NULL DEFAULT array_fill(timestamptz '-infinity', ARRAY[60]) CHECK (cardinality(moments) = 60),
    PRIMARY KEY (name, seconds)
) WITH (fillfactor = 50);
COMMENT ON TABLE ops.gate_window IS 'One row per gate and length of a window: when its last turns were.';
COMMENT ON COLUMN ops.gate_window.name IS 'The gate.';
COMMENT ON COLUMN ops.gate_window.seconds IS 'Length of the window.';
COMMENT ON COLUMN ops.gate_window.turns IS 'Most turns in any such window.';
COMMENT ON COLUMN ops.gate_window.next_turn IS 'Number of the next turn, from 0 to turns - 1, then 0 again.';
COMMENT ON COLUMN ops.gate_window.moments IS 'Turns are put into 60 groups by their number: the moment of the latest turn of each group.';
GRANT SELECT, INSERT, UPDATE ON ops.gate_window TO cdp_platform;

-- Which group a turn is in. Turn n and turn n + per_window are exactly 60 groups apart, which is the same place among 60.
CREATE FUNCTION ops.gate_group(turn bigint, per_window int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (turn * 60 / per_window)::int;

-- The same history for another limit: its turn number 0 comes next. Turns that the new limit does not look back to are left out.
CREATE FUNCTION ops.gate_resized(was ops.gate_window, per_window int) RETURNS ops.gate_window
LANGUAGE sql STABLE
RETURN (SELECT ROW(was.name, was.seconds, per_window, 0, array_agg(
    CASE WHEN back.turns > was.turns THEN timestamptz '-infinity'
    ELSE was.moments[ops.gate_group(was.next_turn - back.turns + was.turns, was.turns) % 60 + 1] END ORDER BY place
))::ops.gate_window
-- How many turns back the latest one is that the group at this place has to wait for.
FROM generate_series(0, 59) AS place
CROSS JOIN LATERAL (SELECT per_window - ((place + 1)::bigint * per_window + 59) / 60 + 1) AS back (turns));

-- Reserve turns, all for one moment. Verdicts: 'turn', after `wait` seconds; 'later' (the turn or the end of a rest is further
-- away than wait_at_most, and nothing was reserved); 'open'. In constant time and space for any limit: a turn waits until the
-- group that had its place before has left the window, so any window has at most as many turns as it may.
-- A second more than the window: calls take unequally long to arrive.
CREATE FUNCTION ops.gate_take(
    account text, wanted int, windows int[], limits int[], wait_at_most double precision, probe_seconds double precision,
    at timestamptz DEFAULT NULL, OUT verdict text, OUT wait double precision, OUT reason text
) LANGUAGE plpgsql AS $$
DECLARE
    state ops.gate;
    each ops.gate_window;
    known ops.gate_window[];
    latest int;
    last int;
    moment timestamptz;
    mine timestamptz;
BEGIN
    INSERT INTO ops.gate (name) VALUES (account) ON CONFLICT DO NOTHING;
    SELECT * INTO state FROM ops.gate WHERE name = account FOR UPDATE;
    moment := coalesce(at, clock_timestamp());
    reason := state.reason;
    IF greatest(state.open_until, state.probe_until) > moment THEN
        verdict := 'open';
        wait := extract(epoch FROM greatest(state.open_until, state.probe_until) - moment);
        RETURN;
    END IF;
    mine := greatest(moment, state.rests_until);
    FOR i IN 1 .. cardinality(windows) LOOP
        IF wanted > limits[i] THEN
            RAISE EXCEPTION '% turns at once, where % s may have %', wanted, windows[i], limits[i]
                USING ERRCODE = 'check_violation';
        END IF;
        SELECT * INTO each FROM ops.gate_window WHERE name = account AND seconds = windows[i];
        IF NOT FOUND THEN
            INSERT INTO ops.gate_window (name, seconds, turns) VALUES (account, windows[i], limits[i]) RETURNING * INTO each;
        ELSIF each.turns <> limits[i] THEN
            each := ops.gate_resized(each, limits[i]);
        END IF;
        latest := ops.gate_group(each.next_turn + each.turns - 1, each.turns);
        last := ops.gate_group(each.next_turn + each.turns - 1 + wanted, each.turns);
        mine := greatest(mine, each.moments[latest % 60 + 1]);
        IF last > latest THEN
            mine := greatest(mine, each.moments[last % 60 + 1] + make_interval(secs => each.seconds + 1));
        END IF;
        known := known || each;
    END LOOP;
    wait := extract(epoch FROM mine - moment);
    IF wait > wait_at_most THEN
        verdict := 'later';
        RETURN;
    END IF;
    verdict := 'turn';
    FOREACH each IN ARRAY coalesce(known, '{}') LOOP
        FOR place IN ops.gate_group(each.next_turn, each.turns) .. ops.gate_group(each.next_turn + wanted - 1, each.turns) LOOP
            each.moments[place % 60 + 1] := mine;
        END LOOP;
        UPDATE ops.gate_window
        SET turns = each.turns, next_turn = (each.next_turn + wanted) % each.turns, moments = each.moments
        WHERE name = account AND seconds = each.seconds;
    END LOOP;
    IF state.open_until IS NOT NULL THEN
        UPDATE ops.gate SET probe_until = mine + make_interval(secs => probe_seconds) WHERE name = account;
    END IF;
END
$$;

-- Nobody's next turn is sooner than this: the outside system asked for a rest. That is an answer, so the breaker closes.
CREATE FUNCTION ops.gate_rest(account text, seconds double precision, why text, at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO ops.gate (name, rests_until, reason)
    VALUES (account, coalesce(at, clock_timestamp()) + make_interval(secs => seconds), why)
    ON CONFLICT (name) DO UPDATE SET
        rests_until = greatest(gate.rests_until, excluded.rests_until), reason = excluded.reason,
        failures = 0, openings = 0, open_until = NULL, probe_until = NULL;
END;

-- A call failed by itself. The first failures_allowed in a row open the breaker, and then each probe that fails does, each time
-- for twice as long. What fails while it is open began before, and says nothing new. A rest that was asked for is kept as well.
CREATE FUNCTION ops.gate_failed(
    account text, why text, failures_allowed int, first_seconds double precision, longest_seconds double precision,
    at timestamptz DEFAULT NULL, rest_seconds double precision DEFAULT 0
) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO ops.gate AS g (name, rests_until)
    VALUES (account, coalesce(at, clock_timestamp()) + make_interval(secs => rest_seconds))
    ON CONFLICT (name) DO UPDATE SET rests_until = greatest(g.rests_until, excluded.rests_until) WHERE rest_seconds > 0;
    UPDATE ops.gate AS g SET
        failures = g.failures + 1, reason = why, probe_until = NULL,
        openings = g.openings + (g.failures + 1 >= failures_allowed)::int,
        open_until = CASE WHEN g.failures + 1 >= failures_allowed THEN coalesce(at, clock_timestamp())
            + make_interval(secs => least(first_seconds * 2 ^ least(g.openings, 30), longest_seconds)) END
    WHERE g.name = account AND (g.open_until IS NULL OR g.open_until <= coalesce(at, clock_timestamp()));
END;

-- An answer came: the breaker closes. A rest that was asked for goes on.
CREATE FUNCTION ops.gate_answered(account text) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    UPDATE ops.gate AS g SET failures = 0, openings = 0, open_until = NULL, probe_until = NULL
    WHERE g.name = account AND g.failures > 0;
END;

-- What running installations have: turns of a minute with a limit of 60, which a ring of 60 holds one by one, and rests.
INSERT INTO ops.gate (name, rests_until) SELECT name, rests_until FROM ops.turn;
INSERT INTO ops.gate_window (name, seconds, turns, moments)
SELECT name, 60, 60, (array_fill(timestamptz '-infinity', ARRAY[60]) || granted)[cardinality(granted) + 1 :] FROM ops.turn;
DROP FUNCTION ops.take_turn, ops.rest;
DROP TABLE ops.turn;
