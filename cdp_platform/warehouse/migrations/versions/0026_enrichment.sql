-- The room enrichment: paid searches become enriched contacts, and no answer is paid for twice.

CREATE SCHEMA enrichment;
GRANT USAGE ON SCHEMA enrichment TO cdp_platform;

-- The gate ------------------------------------------------------------------------------------------------------------------------

-- An outside system counts requests itself, those of others too, in windows that begin with a request, and says how many it
-- still takes. The gate keeps to what was said last.
CREATE TABLE ops.gate_allowance (
    name text NOT NULL REFERENCES ops.gate ON DELETE CASCADE,
    seconds int NOT NULL CHECK (seconds > 0),
    opened_at timestamptz NOT NULL,
    turns_left int NOT NULL CHECK (turns_left >= 0),
    said int,
    most int NOT NULL,
    PRIMARY KEY (name, seconds)
) WITH (fillfactor = 50);
COMMENT ON TABLE ops.gate_allowance IS 'One row per gate and length of a window in which the outside system counts requests: how many turns it still takes.';
COMMENT ON COLUMN ops.gate_allowance.name IS 'The gate.';
COMMENT ON COLUMN ops.gate_allowance.seconds IS 'Length of the outside system''s window.';
COMMENT ON COLUMN ops.gate_allowance.opened_at IS 'The window began at this moment at the latest.';
COMMENT ON COLUMN ops.gate_allowance.turns_left IS 'Turns that may still be taken before it ends.';
COMMENT ON COLUMN ops.gate_allowance.said IS 'What the outside system said last about this window; NULL before it said something.';
COMMENT ON COLUMN ops.gate_allowance.most IS 'The most that it ever said, and the request that it said so to: a whole window.';
GRANT SELECT, INSERT, UPDATE ON ops.gate_allowance TO cdp_platform;

-- When the window is over that this belongs to. A second more: calls take unequally long to arrive.
CREATE FUNCTION ops.allowance_ends(allowance ops.gate_allowance) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN allowance.opened_at + make_interval(secs => allowance.seconds + 1);

-- Turns also keep within the number that the outside system says is left.
CREATE OR REPLACE FUNCTION ops.gate_take(
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
    mine := greatest(mine, (
        SELECT max(ops.allowance_ends(a)) FROM ops.gate_allowance AS a WHERE a.name = account AND a.turns_left < wanted));
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
    UPDATE ops.gate_allowance AS a SET
        opened_at = CASE WHEN a.turns_left < wanted THEN mine ELSE a.opened_at END,
        said = CASE WHEN a.turns_left < wanted THEN NULL ELSE a.said END,
        turns_left = CASE WHEN a.turns_left < wanted THEN greatest(a.most - wanted, 0) ELSE a.turns_left - wanted END
    WHERE a.name = account;
    IF state.open_until IS NOT NULL THEN
        UPDATE ops.gate SET probe_until = mine + make_interval(secs => probe_seconds) WHERE name = account;
    END IF;
END
$$;

-- Turns since a moment, those to come too: exactly or, as they are kept in groups, a few more. Of the gate's shortest window,
-- which knows best; 0 without any.
CREATE FUNCTION ops.gate_turns_since(account text, since timestamptz) RETURNS int
LANGUAGE sql STABLE
RETURN coalesce((
    SELECT max(w.next_turn + w.turns - ((latest.place - back) * w.turns::bigint + 59) / 60)
    FROM (SELECT * FROM ops.gate_window WHERE name = account ORDER BY seconds LIMIT 1) AS w
    CROSS JOIN LATERAL (SELECT ops.gate_group(w.next_turn + w.turns - 1, w.turns)) AS latest (place)
    CROSS JOIN generate_series(0, 59) AS back
    WHERE w.moments[(latest.place - back) % 60 + 1] > since), 0);

-- The answer to a call says how many requests each window has left. The call took its turn call_seconds ago. Turns since then,
-- and in the second before, may not be in that number yet, for they are under way; the call itself is. What follows from an
-- earlier answer may be more, and holds as well, unless others were there: then less is left than it says. What was said to a
-- call from before the window is about another one. A new window has begun where more is left than turns under way explain.
CREATE FUNCTION ops.gate_tighten(
    account text, windows int[], lefts int[], call_seconds double precision, at timestamptz DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
    under_way int;
BEGIN
    INSERT INTO ops.gate (name) VALUES (account) ON CONFLICT DO NOTHING;
    PERFORM FROM ops.gate WHERE name = account FOR UPDATE;
    moment := coalesce(at, clock_timestamp());
    under_way := greatest(ops.gate_turns_since(account, moment - make_interval(secs => call_seconds + 1)) - 1, 0);
    INSERT INTO ops.gate_allowance AS a (name, seconds, opened_at, turns_left, said, most)
    SELECT account, t.seconds, moment, greatest(t.turns - under_way, 0), t.turns, t.turns + 1
    FROM unnest(windows, lefts) AS t (seconds, turns)
    ON CONFLICT (name, seconds) DO UPDATE SET
        opened_at = CASE WHEN excluded.said > a.said + under_way OR moment >= a.opened_at + make_interval(secs => a.seconds)
            THEN moment ELSE a.opened_at END,
        turns_left = least(excluded.said, greatest(a.turns_left, excluded.turns_left)), said = excluded.said, most = greatest(a.most, excluded.most)
    WHERE moment - make_interval(secs => call_seconds) >= a.opened_at;
END
$$;

-- Searches -----------------------------------------------------------------------------------------------------------------------

CREATE TABLE enrichment.search (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    search_id uuid NOT NULL,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'preview' CHECK (status IN ('preview', 'paid', 'enriching', 'ready', 'failed')),
    status_reason text,
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    personal_emails boolean NOT NULL DEFAULT false,
    phones boolean NOT NULL DEFAULT false,
    price numeric NOT NULL CHECK (price >= 0),
    currency text NOT NULL,
    credit_limit numeric CHECK (credit_limit >= 0),
    money_limit numeric CHECK (money_limit >= 0),
    credits_reserved numeric NOT NULL DEFAULT 0,
    credits numeric NOT NULL DEFAULT 0,
    credit_price numeric NOT NULL DEFAULT 0 CHECK (credit_price >= 0),
    credit_currency text NOT NULL DEFAULT 'USD',
    payment_fee numeric NOT NULL DEFAULT 0,
    cost numeric GENERATED ALWAYS AS (
        credits * credit_price + CASE WHEN currency = credit_currency THEN payment_fee ELSE 0 END) STORED,
    waiting int NOT NULL DEFAULT 0,
    enriched int NOT NULL DEFAULT 0,
    no_match int NOT NULL DEFAULT 0,
    unusable int NOT NULL DEFAULT 0,
    held int NOT NULL DEFAULT 0,
    original int NOT NULL DEFAULT 0,
    erased int NOT NULL DEFAULT 0,
    rejected int NOT NULL DEFAULT 0,
    not_before timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, search_id)
);
COMMENT ON TABLE enrichment.search IS 'One row per search: a list of contacts that a customer pays to have enriched.';
COMMENT ON COLUMN enrichment.search.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.search.search_id IS 'Id of the search, which the payment names.';
COMMENT ON COLUMN enrichment.search.name IS 'Name that people call the search by.';
COMMENT ON COLUMN enrichment.search.status IS 'preview, paid, enriching, ready or failed; enrichment.search_may_move has the moves.';
COMMENT ON COLUMN enrichment.search.status_reason IS 'Why it has this status or does not go on, without data of persons.';
COMMENT ON COLUMN enrichment.search.status_changed_at IS 'When the status last changed.';
COMMENT ON COLUMN enrichment.search.personal_emails IS 'Whether private e-mail addresses are asked for.';
COMMENT ON COLUMN enrichment.search.phones IS 'Whether mobile phones are asked for.';
COMMENT ON COLUMN enrichment.search.price IS 'The customer''s price of the search, in currency.';
COMMENT ON COLUMN enrichment.search.currency IS 'ISO 4217 code of price and payment_fee.';
COMMENT ON COLUMN enrichment.search.credit_limit IS 'Most credits that this search may use; NULL: no limit of its own.';
COMMENT ON COLUMN enrichment.search.money_limit IS 'Most that its credits may cost, in credit_currency; NULL: no limit of its own.';
COMMENT ON COLUMN enrichment.search.credits_reserved IS 'Credits of calls whose answer is not there yet: the worst case of each.';
COMMENT ON COLUMN enrichment.search.credits IS 'Credits that the provider charged.';
COMMENT ON COLUMN enrichment.search.credit_price IS 'Price of a credit when the search began, in credit_currency.';
COMMENT ON COLUMN enrichment.search.credit_currency IS 'ISO 4217 code of credit_price and money_limit.';
COMMENT ON COLUMN enrichment.search.payment_fee IS 'Estimate of what the payment provider keeps: 2.9 % and 0.30 of each payment in US dollars; 0 in other currencies, where it is not known.';
COMMENT ON COLUMN enrichment.search.cost IS 'Credits at their price, and the payment fee where it is in the same currency; in credit_currency.';
COMMENT ON COLUMN enrichment.search.waiting IS 'Contacts with outcome waiting.';
COMMENT ON COLUMN enrichment.search.enriched IS 'Contacts with outcome enriched.';
COMMENT ON COLUMN enrichment.search.no_match IS 'Contacts with outcome no_match.';
COMMENT ON COLUMN enrichment.search.unusable IS 'Contacts with outcome unusable.';
COMMENT ON COLUMN enrichment.search.held IS 'Contacts with outcome held.';
COMMENT ON COLUMN enrichment.search.original IS 'Contacts with outcome original.';
COMMENT ON COLUMN enrichment.search.erased IS 'Contacts that were erased, or refused as their person is erased.';
COMMENT ON COLUMN enrichment.search.rejected IS 'Lines of the file that are no contacts.';
COMMENT ON COLUMN enrichment.search.not_before IS 'It goes on at this moment at the earliest: a limit is reached, or the provider is away; NULL: at once.';
COMMENT ON COLUMN enrichment.search.created_at IS 'When it was imported.';
COMMENT ON COLUMN enrichment.search.paid_at IS 'When it was paid.';
COMMENT ON COLUMN enrichment.search.started_at IS 'When the first run took it up.';
COMMENT ON COLUMN enrichment.search.ended_at IS 'When it became ready or failed.';
CREATE INDEX search_open ON enrichment.search (tenant_id, paid_at) WHERE status IN ('paid', 'enriching');
SELECT ops.isolate_tenants('enrichment.search');

-- Which moves a search may make. Only a person has a failed one tried again, and a refund comes before work only.
CREATE FUNCTION enrichment.search_may_move(before text, after text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE before
    WHEN 'new' THEN after = 'preview'
    WHEN 'preview' THEN after = 'paid'
    WHEN 'paid' THEN after IN ('enriching', 'preview')
    WHEN 'enriching' THEN after IN ('ready', 'failed')
    WHEN 'failed' THEN after = 'paid'
    ELSE false
END;

CREATE FUNCTION enrichment.move_search_forward() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    was text := CASE WHEN TG_OP = 'INSERT' THEN 'new' ELSE OLD.status END;
BEGIN
    IF NOT enrichment.search_may_move(was, NEW.status) THEN
        RAISE EXCEPTION 'a search that is % does not become %', was, NEW.status
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    NEW.status_changed_at := pg_catalog.clock_timestamp();
    IF TG_OP = 'UPDATE' THEN
        CASE NEW.status
            -- A search that a person has tried again was paid for at its first time.
            WHEN 'paid' THEN NEW.paid_at := coalesce(OLD.paid_at, NEW.status_changed_at); NEW.ended_at := NULL;
            WHEN 'preview' THEN NEW.paid_at := NULL;
            WHEN 'enriching' THEN NEW.started_at := coalesce(OLD.started_at, NEW.status_changed_at);
            ELSE NEW.ended_at := NEW.status_changed_at;
        END CASE;
        NEW.not_before := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER search_begins BEFORE INSERT ON enrichment.search
    FOR EACH ROW EXECUTE FUNCTION enrichment.move_search_forward();
CREATE TRIGGER search_moves BEFORE UPDATE OF status ON enrichment.search
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION enrichment.move_search_forward();

-- Move a search if it is in the status that the caller takes it to be in; false, and nothing changes, where it is not.
CREATE FUNCTION enrichment.move_search(
    for_tenant text, moved uuid, before text, after text, reason text DEFAULT NULL
) RETURNS boolean
LANGUAGE sql
BEGIN ATOMIC
    WITH done AS (
        UPDATE enrichment.search SET status = after, status_reason = reason
        WHERE tenant_id = for_tenant AND search_id = moved AND status = before RETURNING 1
    )
    SELECT EXISTS (SELECT FROM done);
END;

-- Contacts -----------------------------------------------------------------------------------------------------------------------

CREATE TABLE enrichment.contact (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    contact_id text NOT NULL,
    search_id uuid NOT NULL,
    line int NOT NULL CHECK (line > 0),
    given jsonb NOT NULL,
    question jsonb,
    question_hash bytea CHECK ((question_hash IS NULL) = (question IS NULL)),
    email text,
    other_emails text[] NOT NULL DEFAULT '{}',
    outcome text NOT NULL DEFAULT 'waiting'
        CHECK (outcome IN ('waiting', 'enriched', 'no_match', 'unusable', 'held', 'original')),
    reason text,
    outcome_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, contact_id),
    FOREIGN KEY (tenant_id, search_id) REFERENCES enrichment.search,
    CHECK (question IS NOT NULL OR outcome = 'unusable')
);
COMMENT ON TABLE enrichment.contact IS 'One row per line of a search: a person who is to be enriched.';
COMMENT ON COLUMN enrichment.contact.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.contact.contact_id IS 'The search''s id and the line, padded with zeros, so that contacts sort as in the file.';
COMMENT ON COLUMN enrichment.contact.search_id IS 'The search.';
COMMENT ON COLUMN enrichment.contact.line IS 'Line of the file, from 1.';
COMMENT ON COLUMN enrichment.contact.given IS 'The fields as they came; never changed.';
COMMENT ON COLUMN enrichment.contact.question IS 'The normalized fields that the provider is asked with; NULL where they do not identify anybody.';
COMMENT ON COLUMN enrichment.contact.question_hash IS 'Hash of the strongest identity in the question, with the tenant''s salt: equal ones are one question.';
COMMENT ON COLUMN enrichment.contact.email IS 'The given e-mail address in the normal form of profiles; NULL without a valid one.';
COMMENT ON COLUMN enrichment.contact.other_emails IS 'Every other address in the given fields, lower case, so that an erasure finds the row.';
COMMENT ON COLUMN enrichment.contact.outcome IS 'waiting, enriched, no_match, unusable, held (its call''s answer was lost), or original (the provider is away; taken up later).';
COMMENT ON COLUMN enrichment.contact.reason IS 'Why, without data of the person.';
COMMENT ON COLUMN enrichment.contact.outcome_at IS 'When the outcome last changed.';
CREATE INDEX contact_question ON enrichment.contact (tenant_id, question_hash);
CREATE INDEX contact_open ON enrichment.contact (tenant_id, search_id, contact_id)
    WHERE outcome IN ('waiting', 'held', 'original');
CREATE INDEX contact_email ON enrichment.contact (tenant_id, email) WHERE email IS NOT NULL;
CREATE INDEX contact_other_emails ON enrichment.contact USING gin (other_emails) WHERE other_emails <> '{}';
SELECT ops.isolate_tenants('enrichment.contact');
-- The fields that came with a contact, and its question, never change.
CREATE FUNCTION enrichment.keep_given() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'what came with a contact does not change' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER keep_given BEFORE UPDATE OF line, given, question, question_hash, email, other_emails ON enrichment.contact
    FOR EACH STATEMENT EXECUTE FUNCTION enrichment.keep_given();

CREATE TABLE enrichment.contact_field (
    tenant_id text NOT NULL,
    contact_id text NOT NULL,
    field text NOT NULL,
    value jsonb NOT NULL,
    source text NOT NULL,
    provider_status text,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id, field)
);
COMMENT ON TABLE enrichment.contact_field IS 'One row per contact and enriched field, beside the fields that came with the contact.';
COMMENT ON COLUMN enrichment.contact_field.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.contact_field.contact_id IS 'The contact.';
COMMENT ON COLUMN enrichment.contact_field.field IS 'Name of the field, such as title, company, email or phones.';
COMMENT ON COLUMN enrichment.contact_field.value IS 'Its value: a text, or a list of texts or objects.';
COMMENT ON COLUMN enrichment.contact_field.source IS 'The provider.';
COMMENT ON COLUMN enrichment.contact_field.provider_status IS 'The provider''s own status or confidence of the value; NULL where it gives none.';
COMMENT ON COLUMN enrichment.contact_field.answered_at IS 'When the provider gave it.';
SELECT ops.isolate_tenants('enrichment.contact_field');

-- For whoever reads: what came and what was found, side by side.
CREATE VIEW enrichment.enriched_contacts WITH (security_invoker = true) AS
SELECT c.tenant_id, c.search_id, s.name AS search, c.line, c.outcome, c.reason, c.given, f.found, f.provider_statuses, f.source,
    f.answered_at
FROM enrichment.contact AS c
JOIN enrichment.search AS s ON s.tenant_id = c.tenant_id AND s.search_id = c.search_id
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(e.field, e.value) AS found,
        jsonb_object_agg(e.field, e.provider_status) FILTER (WHERE e.provider_status IS NOT NULL) AS provider_statuses,
        max(e.source) AS source, max(e.answered_at) AS answered_at
    FROM enrichment.contact_field AS e WHERE e.tenant_id = c.tenant_id AND e.contact_id = c.contact_id
) AS f ON true;
GRANT SELECT ON enrichment.enriched_contacts TO cdp_platform;
COMMENT ON VIEW enrichment.enriched_contacts IS 'One row per contact: the fields that came, and beside them those that were found.';
COMMENT ON COLUMN enrichment.enriched_contacts.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.enriched_contacts.search_id IS 'The search.';
COMMENT ON COLUMN enrichment.enriched_contacts.search IS 'Name of the search.';
COMMENT ON COLUMN enrichment.enriched_contacts.line IS 'Line of the file, from 1.';
COMMENT ON COLUMN enrichment.enriched_contacts.outcome IS 'waiting, enriched, no_match, unusable, held or original, as in contact.';
COMMENT ON COLUMN enrichment.enriched_contacts.reason IS 'Why, without data of the person.';
COMMENT ON COLUMN enrichment.enriched_contacts.given IS 'The fields as they came.';
COMMENT ON COLUMN enrichment.enriched_contacts.found IS 'The enriched fields: value by name; NULL where nothing was found.';
COMMENT ON COLUMN enrichment.enriched_contacts.provider_statuses IS 'The provider''s own status of a field, by name, where it gives one.';
COMMENT ON COLUMN enrichment.enriched_contacts.source IS 'The provider.';
COMMENT ON COLUMN enrichment.enriched_contacts.answered_at IS 'When the provider last gave a field.';

-- The counts of a search are those of its contacts, whoever changes them. Rows that retention deletes stay counted.
CREATE FUNCTION enrichment.add_to_count(for_tenant text, counted uuid, which text, more bigint) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    UPDATE enrichment.search SET
        waiting = waiting + CASE which WHEN 'waiting' THEN more ELSE 0 END,
        enriched = enriched + CASE which WHEN 'enriched' THEN more ELSE 0 END,
        no_match = no_match + CASE which WHEN 'no_match' THEN more ELSE 0 END,
        unusable = unusable + CASE which WHEN 'unusable' THEN more ELSE 0 END,
        held = held + CASE which WHEN 'held' THEN more ELSE 0 END,
        original = original + CASE which WHEN 'original' THEN more ELSE 0 END,
        erased = erased + CASE which WHEN 'erased' THEN more ELSE 0 END
    WHERE tenant_id = for_tenant AND search_id = counted;
END;

CREATE FUNCTION enrichment.count_contacts() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM enrichment.add_to_count(c.tenant_id, c.search_id, c.outcome, c.n) FROM (
            SELECT tenant_id, search_id, outcome, count(*) AS n FROM new_rows GROUP BY 1, 2, 3 ORDER BY 1, 2) AS c;
    ELSE
        PERFORM enrichment.add_to_count(c.tenant_id, c.search_id, c.outcome, c.n) FROM (
            SELECT tenant_id, search_id, outcome, pg_catalog.sum(n)::bigint AS n FROM (
                SELECT tenant_id, search_id, outcome, 1 AS n FROM new_rows
                UNION ALL SELECT tenant_id, search_id, outcome, -1 FROM old_rows) AS moved
            GROUP BY 1, 2, 3 HAVING pg_catalog.sum(n) <> 0 ORDER BY 1, 2) AS c;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_contacts AFTER INSERT ON enrichment.contact
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION enrichment.count_contacts();
CREATE TRIGGER count_contacts_again AFTER UPDATE ON enrichment.contact
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION enrichment.count_contacts();

-- Erase these contacts; their search counts them as erased. Returns how many there were.
CREATE FUNCTION enrichment.take_out(for_tenant text, contact_ids text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    each record;
    number bigint := 0;
BEGIN
    FOR each IN
        WITH gone AS (
            DELETE FROM enrichment.contact WHERE tenant_id = for_tenant AND contact_id = ANY (contact_ids)
            RETURNING search_id, outcome
        )
        SELECT search_id, outcome, count(*) AS n FROM gone GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        PERFORM enrichment.add_to_count(for_tenant, each.search_id, each.outcome, -each.n),
            enrichment.add_to_count(for_tenant, each.search_id, 'erased', each.n);
        number := number + each.n;
    END LOOP;
    RETURN number;
END
$$;

-- Calls ----------------------------------------------------------------------------------------------------------------------------

SELECT ops.make_spend('enrichment');

CREATE TABLE enrichment.provider_call (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    call_id uuid NOT NULL,
    search_id uuid NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    personal_emails boolean NOT NULL,
    phones boolean NOT NULL,
    people int NOT NULL CHECK (people > 0),
    attempt int NOT NULL DEFAULT 1 CHECK (attempt > 0),
    may_be_double boolean NOT NULL DEFAULT false,
    state ops.effect_state NOT NULL DEFAULT 'reserved',
    reason text,
    spend_day date NOT NULL,
    credits_reserved numeric NOT NULL,
    credits numeric,
    request_id bigint,
    phones_state text NOT NULL DEFAULT 'none'
        CHECK (phones_state IN ('none', 'pending', 'delivered', 'skipped', 'expired')),
    phone_secret_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    handed_over_at timestamptz,
    settled_at timestamptz,
    phones_ask_at timestamptz,
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, search_id) REFERENCES enrichment.search
);
COMMENT ON TABLE enrichment.provider_call IS 'One row per attempt to ask the provider about a batch: the ledger of paid calls. Nothing in it is about a person.';
COMMENT ON COLUMN enrichment.provider_call.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.provider_call.call_id IS 'Id of the attempt.';
COMMENT ON COLUMN enrichment.provider_call.search_id IS 'The search whose limits the call counts for.';
COMMENT ON COLUMN enrichment.provider_call.provider IS 'The provider, such as apollo.';
COMMENT ON COLUMN enrichment.provider_call.account IS 'The provider''s account, as a hash of its key: tenants may share one.';
COMMENT ON COLUMN enrichment.provider_call.personal_emails IS 'Whether private e-mail addresses were asked for.';
COMMENT ON COLUMN enrichment.provider_call.phones IS 'Whether mobile phones were asked for.';
COMMENT ON COLUMN enrichment.provider_call.people IS 'Number of people asked about.';
COMMENT ON COLUMN enrichment.provider_call.attempt IS 'From 1; another attempt for the same people is another row.';
COMMENT ON COLUMN enrichment.provider_call.may_be_double IS 'Whether it asks again although an earlier answer was lost, and so may be charged twice.';
COMMENT ON COLUMN enrichment.provider_call.state IS 'How far the call is; ops.effect_move has the moves.';
COMMENT ON COLUMN enrichment.provider_call.reason IS 'Why, without data of persons.';
COMMENT ON COLUMN enrichment.provider_call.spend_day IS 'Day (UTC) whose spend has its credits.';
COMMENT ON COLUMN enrichment.provider_call.credits_reserved IS 'Credits still reserved for it; 0 once all charges are known.';
COMMENT ON COLUMN enrichment.provider_call.credits IS 'Credits that were charged, phones included as they are delivered; NULL while nothing is known.';
COMMENT ON COLUMN enrichment.provider_call.request_id IS 'The provider''s id of the request, a signed number of 64 bits.';
COMMENT ON COLUMN enrichment.provider_call.phones_state IS 'none (nothing is to come), pending, delivered, skipped (an earlier call''s delivery brings them) or expired.';
COMMENT ON COLUMN enrichment.provider_call.phone_secret_hash IS 'SHA-256 of the secret in the address that phones are delivered to.';
COMMENT ON COLUMN enrichment.provider_call.created_at IS 'When it was reserved.';
COMMENT ON COLUMN enrichment.provider_call.handed_over_at IS 'When the request was about to be sent.';
COMMENT ON COLUMN enrichment.provider_call.settled_at IS 'When its end was known.';
COMMENT ON COLUMN enrichment.provider_call.phones_ask_at IS 'When the provider is asked next for phones that are still not delivered; NULL: some minutes after the call.';
CREATE INDEX provider_call_open ON enrichment.provider_call (tenant_id, search_id)
    WHERE state::text IN ('reserved', 'handed_over', 'unknown');
CREATE INDEX provider_call_phones ON enrichment.provider_call (tenant_id, created_at) WHERE phones_state = 'pending';
CREATE INDEX provider_call_search ON enrichment.provider_call (tenant_id, search_id, created_at);
SELECT ops.isolate_tenants('enrichment.provider_call');
SELECT ops.guard_effects('enrichment.provider_call');
SELECT ops.make_claimable('enrichment.provider_call');

CREATE TABLE enrichment.call_question (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    call_id uuid NOT NULL,
    place int NOT NULL CHECK (place > 0),
    question_hash bytea,
    PRIMARY KEY (tenant_id, call_id, place),
    FOREIGN KEY (tenant_id, call_id) REFERENCES enrichment.provider_call ON DELETE CASCADE
);
COMMENT ON TABLE enrichment.call_question IS 'One row per call and person asked about, in the order of the request.';
COMMENT ON COLUMN enrichment.call_question.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.call_question.call_id IS 'The call.';
COMMENT ON COLUMN enrichment.call_question.place IS 'Place in the request, from 1.';
COMMENT ON COLUMN enrichment.call_question.question_hash IS 'Hash of the question, as in contact; NULL once the person is erased.';
CREATE INDEX call_question_hash ON enrichment.call_question (tenant_id, question_hash);
SELECT ops.isolate_tenants('enrichment.call_question');

-- Answers ------------------------------------------------------------------------------------------------------------------------

CREATE TABLE enrichment.answer (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    provider text NOT NULL,
    question_hash bytea NOT NULL,
    personal_emails boolean NOT NULL,
    phones boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('asked', 'match', 'no_match')),
    call_id uuid NOT NULL,
    person_id text,
    fields jsonb,
    addresses text[] NOT NULL DEFAULT '{}',
    phone_numbers text[] NOT NULL DEFAULT '{}',
    answered_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, provider, question_hash, personal_emails, phones),
    FOREIGN KEY (tenant_id, call_id) REFERENCES enrichment.provider_call,
    CHECK ((state = 'asked') = (answered_at IS NULL)),
    CHECK ((state = 'asked') = (expires_at IS NULL)),
    CHECK (state = 'match' OR fields IS NULL)
);
COMMENT ON TABLE enrichment.answer IS 'One row per question and what was asked for: the provider''s answer while it is fresh, or that a call is asking now.';
COMMENT ON COLUMN enrichment.answer.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.answer.provider IS 'The provider.';
COMMENT ON COLUMN enrichment.answer.question_hash IS 'Hash of the question, as in contact.';
COMMENT ON COLUMN enrichment.answer.personal_emails IS 'Whether private e-mail addresses were asked for. Such an answer also answers questions without them.';
COMMENT ON COLUMN enrichment.answer.phones IS 'Whether mobile phones were asked for. Such an answer also answers questions without them.';
COMMENT ON COLUMN enrichment.answer.state IS 'asked: a call is under way, or its answer was lost; match; no_match.';
COMMENT ON COLUMN enrichment.answer.call_id IS 'The call that asks, or that brought the answer.';
COMMENT ON COLUMN enrichment.answer.person_id IS 'The provider''s id of the person.';
COMMENT ON COLUMN enrichment.answer.fields IS 'The fields that the provider knows: for each {"value": ..., "status": the provider''s own or null}.';
COMMENT ON COLUMN enrichment.answer.addresses IS 'E-mail addresses in question and answer, lower case, so that an erasure finds the row.';
COMMENT ON COLUMN enrichment.answer.phone_numbers IS 'Phone numbers in question and answer (E.164), so that an erasure finds the row.';
COMMENT ON COLUMN enrichment.answer.answered_at IS 'When the answer came.';
COMMENT ON COLUMN enrichment.answer.expires_at IS 'After this moment it answers nothing more.';
CREATE INDEX answer_call ON enrichment.answer (tenant_id, call_id);
CREATE INDEX answer_person ON enrichment.answer (tenant_id, person_id) WHERE person_id IS NOT NULL;
SELECT ops.isolate_tenants('enrichment.answer');

CREATE TABLE enrichment.phone_delivery (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    call_id uuid NOT NULL,
    payload jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES enrichment.provider_call
);
COMMENT ON TABLE enrichment.phone_delivery IS 'One row per call whose phones were delivered before its answer was there. It goes once the phones are taken.';
COMMENT ON COLUMN enrichment.phone_delivery.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.phone_delivery.call_id IS 'The call.';
COMMENT ON COLUMN enrichment.phone_delivery.payload IS 'Credits, and for each person with numbers the provider''s id, the field and the numbers (E.164).';
COMMENT ON COLUMN enrichment.phone_delivery.received_at IS 'When it came.';
SELECT ops.isolate_tenants('enrichment.phone_delivery');

-- Payments -----------------------------------------------------------------------------------------------------------------------

CREATE TABLE enrichment.payment_event (
    tenant_id text NOT NULL REFERENCES ops.tenant,
    event_id text NOT NULL,
    type text NOT NULL,
    search_id uuid,
    payment_intent text,
    amount numeric,
    currency text,
    outcome text NOT NULL CHECK (outcome IN ('paid', 'refunded', 'noted', 'refused')),
    reason text,
    happened_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);
COMMENT ON TABLE enrichment.payment_event IS 'One row per event of the payment provider. Nothing in it is about a person.';
COMMENT ON COLUMN enrichment.payment_event.tenant_id IS 'The tenant that the row belongs to.';
COMMENT ON COLUMN enrichment.payment_event.event_id IS 'The payment provider''s id of the event: each counts once.';
COMMENT ON COLUMN enrichment.payment_event.type IS 'Type of the event.';
COMMENT ON COLUMN enrichment.payment_event.search_id IS 'The search that it names; NULL where it names none.';
COMMENT ON COLUMN enrichment.payment_event.payment_intent IS 'The payment that it belongs to, which a refund names as well.';
COMMENT ON COLUMN enrichment.payment_event.amount IS 'Amount in currency, not in its smallest unit.';
COMMENT ON COLUMN enrichment.payment_event.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN enrichment.payment_event.outcome IS 'paid or refunded: the search moved; noted: nothing was to be done; refused: it does not fit the search, and a person has to look.';
COMMENT ON COLUMN enrichment.payment_event.reason IS 'Why.';
COMMENT ON COLUMN enrichment.payment_event.happened_at IS 'When it happened, as the event says.';
COMMENT ON COLUMN enrichment.payment_event.received_at IS 'When it came.';
CREATE INDEX payment_event_intent ON enrichment.payment_event (tenant_id, payment_intent) WHERE payment_intent IS NOT NULL;
SELECT ops.isolate_tenants('enrichment.payment_event');

-- The account ----------------------------------------------------------------------------------------------------------------------

CREATE TABLE enrichment.account_reading (
    account text NOT NULL,
    read_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    consumed numeric NOT NULL,
    cycle text NOT NULL,
    PRIMARY KEY (account, read_at)
);
COMMENT ON TABLE enrichment.account_reading IS 'One row per moment at which the provider''s counter was read and everything was settled: no call under way or lost, no phones awaited. Belongs to the platform and says nothing of any tenant.';
COMMENT ON COLUMN enrichment.account_reading.account IS 'The provider''s account, as in provider_call.';
COMMENT ON COLUMN enrichment.account_reading.read_at IS 'When it was read.';
COMMENT ON COLUMN enrichment.account_reading.consumed IS 'Credits consumed in the billing cycle, as the provider counts them.';
COMMENT ON COLUMN enrichment.account_reading.cycle IS 'Begin of the billing cycle, as the provider writes it. In another cycle the counter begins anew.';
GRANT SELECT, INSERT, DELETE ON enrichment.account_reading TO cdp_platform;

-- The functions below look across tenants, and they alone.
CREATE POLICY across_tenants ON enrichment.search FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY across_tenants ON enrichment.provider_call FOR SELECT TO CURRENT_USER USING (true);

-- The ledger of an account over all tenants: the credits of calls that were handed over since a moment as far as they are known, how
-- many calls are under way, have unknown credits or await phones, and when a call last began or ended.
CREATE FUNCTION enrichment.account_ledger(
    of_account pg_catalog.text, since pg_catalog.timestamptz, OUT known pg_catalog.numeric, OUT under_way pg_catalog.int8,
    OUT unknown pg_catalog.int8, OUT phones_pending pg_catalog.int8, OUT moved_at pg_catalog.timestamptz,
    OUT quiet_seconds pg_catalog.float8
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT l.known, l.under_way, l.unknown, l.phones_pending, l.moved_at,
        EXTRACT(epoch FROM pg_catalog.clock_timestamp() - l.moved_at)::pg_catalog.float8
    FROM (
        SELECT coalesce(pg_catalog.sum(c.credits) FILTER (WHERE c.handed_over_at > since), 0),
            count(*) FILTER (WHERE c.state::pg_catalog.text = 'handed_over'),
            count(*) FILTER (WHERE c.state::pg_catalog.text = 'unknown'
                OR c.state::pg_catalog.text = 'confirmed' AND c.credits IS NULL),
            count(*) FILTER (WHERE c.phones_state = 'pending'),
            pg_catalog.max(greatest(c.handed_over_at, c.settled_at))
        FROM enrichment.provider_call AS c WHERE c.account = of_account
    ) AS l (known, under_way, unknown, phones_pending, moved_at);
END;
REVOKE EXECUTE ON FUNCTION enrichment.account_ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enrichment.account_ledger TO cdp_platform;

-- Searches of active tenants that have something to do, for the sensor: paid, with contacts that are not done, or to be ended. Of
-- one whose contacts are held, or that awaits phones, a run brings nothing further: whatever ends that clears not_before.
CREATE FUNCTION enrichment.due()
RETURNS TABLE (tenant_id pg_catalog.text, search_id pg_catalog.uuid, status pg_catalog.text, due_at pg_catalog.timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
BEGIN ATOMIC
    SELECT s.tenant_id, s.search_id, s.status, greatest(s.not_before, s.paid_at)
    FROM enrichment.search AS s JOIN ops.tenant AS t ON t.tenant_id = s.tenant_id AND t.status = 'active'
    WHERE s.status = 'paid'
       OR s.status = 'enriching' AND (s.waiting + s.original > 0 OR s.held = 0 AND s.not_before IS NULL);
END;
REVOKE EXECUTE ON FUNCTION enrichment.due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enrichment.due TO cdp_platform;

-- The sensor waits for such a notice, and so learns at once of a search that is paid or can go on.
CREATE FUNCTION enrichment.tell_of_search() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('enrichment_search', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_of_search AFTER UPDATE OF status, not_before ON enrichment.search
    FOR EACH ROW WHEN (NEW.not_before IS NULL AND (NEW.status = 'paid' OR OLD.not_before IS NOT NULL))
    EXECUTE FUNCTION enrichment.tell_of_search();

-- Profiles -----------------------------------------------------------------------------------------------------------------------

-- Findings of enrichment lie beside the fields of the CDP. No sync writes these columns.
ALTER TABLE customers.cdp_profiles
    ADD COLUMN enriched_title text, ADD COLUMN enriched_company text, ADD COLUMN enriched_industry text,
    ADD COLUMN enriched_seniority text, ADD COLUMN enriched_at timestamptz;
COMMENT ON COLUMN customers.cdp_profiles.enriched_title IS 'Job title that enrichment found; NULL without one. No sync writes it.';
COMMENT ON COLUMN customers.cdp_profiles.enriched_company IS 'Employer that enrichment found; NULL without one. No sync writes it.';
COMMENT ON COLUMN customers.cdp_profiles.enriched_industry IS 'Industry of the employer that enrichment found; NULL without one. No sync writes it.';
COMMENT ON COLUMN customers.cdp_profiles.enriched_seniority IS 'Seniority that enrichment found; NULL without one. No sync writes it.';
COMMENT ON COLUMN customers.cdp_profiles.enriched_at IS 'When the enrichment provider answered; NULL where nothing was added.';

CREATE INDEX cdp_profiles_secondary_emails ON customers.cdp_profiles USING gin (secondary_emails)
    WHERE secondary_emails <> '[]';

-- What a profile is about: also what the person does for a living, as enrichment found. Nobody's name, address or number. Of a
-- profile that was not enriched the text, and so its vector, is the same as without these columns.
ALTER FUNCTION embeddings.profile_text RENAME TO profile_text_before;
CREATE FUNCTION embeddings.profile_text(
    place text, job_titles jsonb, data_labels jsonb, segments jsonb, content_keywords jsonb,
    product_keywords jsonb, enriched_title text, enriched_company text, enriched_industry text, enriched_seniority text,
    closed_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN closed_at IS NULL THEN embeddings.without_contacts(left(concat_ws(
    '; ', place,
    embeddings.listed(job_titles || data_labels || segments || content_keywords || product_keywords),
    nullif(concat_ws(', ', enriched_title, enriched_company, enriched_industry, enriched_seniority), '')
), 40000)) END;
CREATE OR REPLACE VIEW embeddings.profile_texts WITH (security_invoker = true) AS
SELECT r.tenant_id, 'profile'::text AS kind, r.profile_id AS entity_id,
       embeddings.profile_text(
           embeddings.place(r.living_city, r.living_province, r.living_state, r.living_country, r.living_location),
           r.job_titles, r.data_labels, r.segments, r.content_keywords, r.product_keywords, r.enriched_title,
           r.enriched_company, r.enriched_industry, r.enriched_seniority, r.closed_at) AS content
FROM customers.cdp_profiles AS r;
DROP FUNCTION embeddings.profile_text_before;
CREATE OR REPLACE TRIGGER embed_updated AFTER UPDATE ON customers.cdp_profiles
REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
FOR EACH STATEMENT EXECUTE FUNCTION embeddings.enqueue_updated(
    'profile', 'profile_id',
    'embeddings.profile_text(embeddings.place({r}.living_city, {r}.living_province, {r}.living_state, '
    '{r}.living_country, {r}.living_location), {r}.job_titles, {r}.data_labels, {r}.segments, '
    '{r}.content_keywords, {r}.product_keywords, {r}.enriched_title, {r}.enriched_company, {r}.enriched_industry, '
    '{r}.enriched_seniority, {r}.closed_at)');

-- Erasure ------------------------------------------------------------------------------------------------------------------------

-- Contacts of a person: those that came with an address of theirs, and those whose answer has an address or phone of theirs.
CREATE FUNCTION enrichment.contacts_of(for_tenant text, person ops.person) RETURNS SETOF enrichment.contact
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.* FROM enrichment.contact AS c WHERE c.tenant_id = for_tenant AND c.email = ANY (person.addresses)
    UNION
    SELECT c.* FROM enrichment.contact AS c
    WHERE c.tenant_id = for_tenant AND c.other_emails <> '{}' AND c.other_emails && person.addresses
    UNION
    SELECT c.* FROM enrichment.answer AS a
    JOIN enrichment.contact AS c ON c.tenant_id = a.tenant_id AND c.question_hash = a.question_hash
    WHERE a.tenant_id = for_tenant AND (a.addresses && person.addresses OR a.phone_numbers && person.phones);
END;

CREATE FUNCTION enrichment.erase_answers(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM enrichment.answer
        WHERE tenant_id = for_tenant AND (addresses && person.addresses OR phone_numbers && person.phones) RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

-- Calls stay, as money, without the hash that leads to a question.
CREATE FUNCTION enrichment.erase_contacts(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH theirs AS MATERIALIZED (
        SELECT contact_id, question_hash FROM enrichment.contacts_of(for_tenant, person)
    ), forgotten AS (
        UPDATE enrichment.call_question AS q SET question_hash = NULL
        WHERE q.tenant_id = for_tenant AND q.question_hash IN (SELECT question_hash FROM theirs)
    ), answers AS (
        -- Of a contact that was found by another address than the one that was asked about; erase_answers counts the others.
        DELETE FROM enrichment.answer AS a
        WHERE a.tenant_id = for_tenant AND a.question_hash IN (SELECT question_hash FROM theirs)
          AND NOT (a.addresses && person.addresses OR a.phone_numbers && person.phones)
    )
    SELECT enrichment.take_out(for_tenant, ARRAY(SELECT contact_id FROM theirs));
END;

CREATE FUNCTION enrichment.erase_fields(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM enrichment.contact_field AS f
        WHERE f.tenant_id = for_tenant
          AND f.contact_id IN (SELECT contact_id FROM enrichment.contacts_of(for_tenant, person)) RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

-- A delivery that waits for its answer may be about several people. Those who stay are asked for again.
CREATE FUNCTION enrichment.erase_deliveries(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM enrichment.phone_delivery AS d
        WHERE d.tenant_id = for_tenant AND EXISTS (
            SELECT FROM enrichment.call_question AS q
            JOIN enrichment.contacts_of(for_tenant, person) AS c ON c.question_hash = q.question_hash
            WHERE q.tenant_id = for_tenant AND q.call_id = d.call_id) RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

-- Contacts that come with an address of somebody who is erased go at once.
CREATE FUNCTION enrichment.keep_erased_contacts_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_address) THEN
        PERFORM enrichment.take_out(f.tenant_id, f.contact_ids) FROM (
            SELECT n.tenant_id, pg_catalog.array_agg(DISTINCT n.contact_id) AS contact_ids
            FROM new_rows AS n, pg_catalog.unnest(n.email || n.other_emails) AS a (address), ops.address_salt AS s,
                ops.erased_address AS e
            WHERE a.address IS NOT NULL AND s.tenant_id = n.tenant_id AND e.tenant_id = n.tenant_id
              AND e.address_hash = ops.address_hash(s.salt, a.address)
            GROUP BY 1) AS f;
    END IF;
    RETURN NULL;
END
$$;

-- An answer may show an address of somebody who is erased, under whatever name was asked.
CREATE FUNCTION enrichment.keep_erased_answers_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    number bigint;
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    IF EXISTS (SELECT FROM ops.erased_address) THEN
        WITH theirs AS MATERIALIZED (
            SELECT DISTINCT n.tenant_id, n.question_hash
            FROM new_rows AS n, pg_catalog.unnest(n.addresses) AS a (address), ops.address_salt AS s, ops.erased_address AS e
            WHERE s.tenant_id = n.tenant_id AND e.tenant_id = n.tenant_id
              AND e.address_hash = ops.address_hash(s.salt, a.address)
        ), forgotten AS (
            UPDATE enrichment.call_question AS q SET question_hash = NULL FROM theirs AS t
            WHERE q.tenant_id = t.tenant_id AND q.question_hash = t.question_hash
        ), answers AS (
            DELETE FROM enrichment.answer AS a USING theirs AS t
            WHERE a.tenant_id = t.tenant_id AND a.question_hash = t.question_hash
        )
        SELECT pg_catalog.count(enrichment.take_out(t.tenant_id, ARRAY(
            SELECT c.contact_id FROM enrichment.contact AS c
            WHERE c.tenant_id = t.tenant_id AND c.question_hash = t.question_hash))) INTO number FROM theirs AS t;
    END IF;
    RETURN NULL;
END
$$;

-- Fields come with a contact, or not at all; they go with it.
CREATE FUNCTION enrichment.keep_fields_with_contacts() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    -- Contacts are looked up once each, and not once for each of their fields.
    DELETE FROM enrichment.contact_field AS f USING (
        SELECT DISTINCT n.tenant_id, n.contact_id FROM new_rows AS n) AS n
    WHERE f.tenant_id = n.tenant_id AND f.contact_id = n.contact_id AND NOT EXISTS (
        SELECT FROM enrichment.contact AS c WHERE c.tenant_id = n.tenant_id AND c.contact_id = n.contact_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION enrichment.forget_fields() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    DELETE FROM enrichment.contact_field AS f USING old_rows AS o
    WHERE f.tenant_id = o.tenant_id AND f.contact_id = o.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER forget_fields AFTER DELETE ON enrichment.contact
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION enrichment.forget_fields();

-- A delivery about people of whom nobody is left is not kept.
CREATE FUNCTION enrichment.keep_deliveries_with_people() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM ops.share_erasure_locks(ARRAY(SELECT DISTINCT tenant_id FROM new_rows));
    DELETE FROM enrichment.phone_delivery AS d USING new_rows AS n
    WHERE d.tenant_id = n.tenant_id AND d.call_id = n.call_id AND NOT EXISTS (
        SELECT FROM enrichment.call_question AS q
        WHERE q.tenant_id = n.tenant_id AND q.call_id = n.call_id AND q.question_hash IS NOT NULL);
    RETURN NULL;
END
$$;

-- In this order: an erasure goes through them backwards, and the answers say which contacts are the person's.
SELECT ops.keep_erased_out(
    'enrichment.answer', erase => 'enrichment.erase_answers', guard => 'enrichment.keep_erased_answers_out',
    also_updates => true);
SELECT ops.keep_erased_out(
    'enrichment.contact', erase => 'enrichment.erase_contacts', guard => 'enrichment.keep_erased_contacts_out');
SELECT ops.keep_erased_out(
    'enrichment.contact_field', erase => 'enrichment.erase_fields', guard => 'enrichment.keep_fields_with_contacts');
SELECT ops.keep_erased_out(
    'enrichment.phone_delivery', erase => 'enrichment.erase_deliveries', guard => 'enrichment.keep_deliveries_with_people');

-- Rejected lines of files: they name no profile, so their addresses say whose they are.
ALTER TABLE ops.rejected_record
    ADD COLUMN addresses text[] NOT NULL DEFAULT '{}', ADD COLUMN read_once boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ops.rejected_record.addresses IS 'E-mail addresses in a document that names no profile, lower case, so that an erasure finds the row.';
COMMENT ON COLUMN ops.rejected_record.read_once IS 'Nothing reads the document again, as a line of a file: the record goes after a time, though it waits.';
UPDATE ops.person_store SET about_persons = 'profile_ids <> ''{}'' OR addresses <> ''{}''' WHERE store = 'ops.rejected_record';

CREATE OR REPLACE FUNCTION ops.erase_rejected(for_tenant text, person ops.person) RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM ops.rejected_record AS r
        WHERE r.tenant_id = for_tenant AND (r.profile_ids && person.profile_ids OR r.addresses && person.addresses) RETURNING 1
    )
    SELECT count(*) FROM gone;
END;

CREATE OR REPLACE FUNCTION customers.keep_erased_rejections_out() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    each record;
BEGIN
    PERFORM ops.share_erasure_locks(
        ARRAY(SELECT DISTINCT tenant_id FROM new_rows WHERE profile_ids <> '{}' OR addresses <> '{}'));
    FOR each IN
        SELECT DISTINCT n.tenant_id, n.source, n.document_key, n.profile_ids, n.resolved_at IS NULL AS waits
        FROM new_rows AS n, LATERAL unnest(n.profile_ids) AS v (key), ops.erased_document AS e
        WHERE e.tenant_id = n.tenant_id AND e.source = 'cdp_profile' AND e.document_key = v.key
    LOOP
        IF each.source = 'cdp_profile' AND each.waits THEN
            PERFORM customers.erase_person(each.tenant_id, each.profile_ids);
        END IF;
        DELETE FROM ops.rejected_record AS r
        WHERE r.tenant_id = each.tenant_id AND r.source = each.source AND r.document_key = each.document_key;
    END LOOP;
    IF EXISTS (SELECT FROM new_rows WHERE addresses <> '{}') AND EXISTS (SELECT FROM ops.erased_address) THEN
        DELETE FROM ops.rejected_record AS r
        USING new_rows AS n, unnest(n.addresses) AS a (address), ops.address_salt AS s, ops.erased_address AS e
        WHERE r.tenant_id = n.tenant_id AND r.source = n.source AND r.document_key = n.document_key
          AND s.tenant_id = n.tenant_id AND e.tenant_id = n.tenant_id
          AND e.address_hash = ops.address_hash(s.salt, a.address);
    END IF;
    RETURN NULL;
END
$$;
