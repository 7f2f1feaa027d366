"""The guard's statements as functions: each answers a request in one round trip and one transaction.

Rows are locked in one order everywhere, so nobody waits in a circle: holds, then rate counters by key, then budget
periods by id. A reservation inserts its hold last, which nobody else can be waiting for.
"""

from django.db import migrations

# What a process may remember, and the triggers that say when it is out of date. Statement by statement: these tables
# are edited by people, a few rows a day.
VERSIONS = """
-- From a sequence, so that a version is never met again, not even after a rollback. In wide steps, so that adding one
-- to a version by hand does not meet the next one either.
CREATE SEQUENCE guard_version_seq INCREMENT BY 1000 START WITH 1000;

CREATE FUNCTION guard_definitions_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO budgets_guardversion (id, version) VALUES (1, nextval('guard_version_seq'))
    ON CONFLICT (id) DO UPDATE SET version = nextval('guard_version_seq');
    RETURN NULL;
END $$;
CREATE FUNCTION guard_controls_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO incidents_controlversion (id, version) VALUES (1, nextval('guard_version_seq'))
    ON CONFLICT (id) DO UPDATE SET version = nextval('guard_version_seq');
    RETURN NULL;
END $$;
CREATE TRIGGER guard_version AFTER INSERT OR UPDATE OR DELETE ON budgets_budget
    FOR EACH STATEMENT EXECUTE FUNCTION guard_definitions_changed();

-- A budget that counts something else than before begins anew: what its periods say is about other calls.
CREATE FUNCTION guard_recount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM budgets_budgetperiod WHERE budget_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER guard_recount AFTER UPDATE ON budgets_budget FOR EACH ROW
    WHEN ((OLD.team_id, OLD.feature, OLD.tenant, OLD.environment, OLD.user_hash, OLD.provider, OLD.model,
           OLD.cost_center, OLD.unit, OLD.period, OLD.time_zone, OLD.anchor)
        IS DISTINCT FROM
          (NEW.team_id, NEW.feature, NEW.tenant, NEW.environment, NEW.user_hash, NEW.provider, NEW.model,
           NEW.cost_center, NEW.unit, NEW.period, NEW.time_zone, NEW.anchor))
    EXECUTE FUNCTION guard_recount();
CREATE TRIGGER guard_version AFTER INSERT OR UPDATE OR DELETE ON budgets_grant
    FOR EACH STATEMENT EXECUTE FUNCTION guard_definitions_changed();
CREATE TRIGGER guard_version AFTER INSERT OR UPDATE OR DELETE ON budgets_ratelimit
    FOR EACH STATEMENT EXECUTE FUNCTION guard_definitions_changed();
CREATE TRIGGER guard_version AFTER INSERT OR DELETE ON budgets_budgetperiod
    FOR EACH STATEMENT EXECUTE FUNCTION guard_definitions_changed();
CREATE TRIGGER guard_version AFTER INSERT OR UPDATE OR DELETE ON incidents_control
    FOR EACH STATEMENT EXECUTE FUNCTION guard_controls_changed();
CREATE TRIGGER guard_version AFTER INSERT OR UPDATE OR DELETE ON incidents_modepolicy
    FOR EACH STATEMENT EXECUTE FUNCTION guard_controls_changed();

-- Room on the page for the next version of a hot row, so that an update touches no index.
ALTER TABLE budgets_budgetperiod SET (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE budgets_ratecounter SET (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.02);
"""

UNDO_VERSIONS = """
DROP FUNCTION guard_definitions_changed() CASCADE;
DROP FUNCTION guard_controls_changed() CASCADE;
DROP FUNCTION guard_recount() CASCADE;
DROP SEQUENCE guard_version_seq;
"""

# The 60 seconds of a counter brought forward to `now`: those that have passed since are empty.
SHIFT = """
CREATE FUNCTION guard_shift(slots bigint[], last bigint, now bigint) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF now - last >= 60 THEN
        RETURN array_fill(0::bigint, ARRAY[60]);
    END IF;
    FOR s IN last + 1 .. now LOOP
        slots[s % 60 + 1] := 0;
    END LOOP;
    RETURN slots;
END $$;

-- Seconds until at least `excess` of what the slots hold is older than a minute.
CREATE FUNCTION guard_wait(slots bigint[], excess bigint, now bigint) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    freed bigint := 0;
BEGIN
    FOR s IN now - 59 .. now LOOP
        freed := freed + slots[s % 60 + 1];
        IF freed >= excess THEN
            RETURN s + 60 - now;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION guard_count(p_team bigint, p_at timestamptz, p_budget bigint, p_decision text, p_code text)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO budgets_guardcount (team_id, minute, budget_id, decision, code, slot, count)
    VALUES (p_team, date_trunc('minute', p_at), p_budget, p_decision, p_code, (random() * 7)::smallint, 1)
    ON CONFLICT (team_id, minute, budget_id, decision, code, slot)
    DO UPDATE SET count = budgets_guardcount.count + 1;
$$;
"""

# One decision. Arrays starting with p_ describe the budget periods and rate limits that may matter, o_ the options in
# the order of preference (the call as asked first); o_budgets and o_rates say, option by option, which cover it.
#
# A call fits when every hard budget over it has room: estimate <= limit + carried - settled - metered - reserved.
# Holds that expired but are not swept yet are looked at only when a call would not fit: until then counting them is
# merely careful, and the usual answer does not have to search for them.
DECIDE = """
CREATE FUNCTION guard_decide(
    p_check boolean, p_id uuid, p_again boolean, p_digest bigint, p_key bigint, p_team bigint, p_versions bigint[],
    p_facts text[], p_ttl integer, p_at timestamptz, p_stale_after interval,
    p_periods bigint[], p_budgets bigint[], p_limits numeric[], p_hard boolean[], p_closed boolean[], p_units text[],
    p_rates text[], p_rpm bigint[], p_tpm bigint[], p_concurrency bigint[],
    o_provider text[], o_model text[], o_input bigint[], o_output bigint[], o_fixed numeric[], o_per_token numeric[],
    o_decision text[], o_code text[], o_budgets boolean[], o_rates boolean[], p_cut_min bigint, p_denied text
) RETURNS text LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_second bigint := floor(extract(epoch FROM v_at));
    v_versions bigint[];
    v_alive boolean;
    v_row record;
    v_hold budgets_hold%ROWTYPE;
    n_periods integer := cardinality(p_periods);
    n_rates integer := cardinality(p_rates);
    n_options integer := cardinality(o_model);
    v_seen integer := 0;
    v_left numeric[] := '{}';
    v_used numeric[] := '{}';
    v_reserved numeric[] := '{}';
    v_carried numeric[] := '{}';
    v_stale boolean[] := '{}';
    v_requests bigint[] := array_fill(0::bigint, ARRAY[n_rates]);
    v_tokens bigint[] := array_fill(0::bigint, ARRAY[n_rates]);
    v_flying bigint[] := array_fill(0::bigint, ARRAY[n_rates]);
    v_wait integer[] := array_fill(NULL::integer, ARRAY[n_rates]);
    v_slots bigint[];
    v_chosen integer := 0;
    v_output bigint;
    v_usd numeric;
    v_need numeric;
    v_size bigint;
    v_place integer;
    v_code text;
    v_at_budget integer;
    v_at_rate integer;
    v_first_code text;
    v_first_budget integer;
    v_first_rate integer;
    v_expired numeric;
    v_any_expired boolean := false;
    v_ids bigint[] := '{}';
    v_amounts numeric[] := '{}';
    v_kinds text[] := '{}';
    v_keys text[] := '{}';
BEGIN
    -- Is what the caller remembers still so?
    v_versions := ARRAY[
        coalesce((SELECT version FROM budgets_guardversion WHERE id = 1), 0),
        coalesce((SELECT version FROM incidents_controlversion WHERE id = 1), 0),
        coalesce((SELECT version FROM usage_pricebook WHERE id = 1), 0)];
    v_alive := EXISTS (SELECT FROM accounts_apikey WHERE id = p_key AND revoked_at IS NULL);
    IF v_versions <> p_versions OR NOT v_alive THEN
        RETURN json_build_object('status', CASE WHEN v_alive THEN 'stale' ELSE 'no_key' END);
    END IF;

    -- Rate counters, then periods, each in the order of its key. A check reads and locks nothing.
    IF n_rates > 0 THEN
        IF NOT p_check THEN
            PERFORM FROM budgets_ratecounter WHERE key = ANY (p_rates) ORDER BY key FOR UPDATE;
        END IF;
        FOR v_row IN SELECT * FROM budgets_ratecounter WHERE key = ANY (p_rates) LOOP
            v_seen := v_seen + 1;
            v_place := array_position(p_rates, v_row.key::text);
            v_slots := guard_shift(v_row.requests, v_row.second, v_second);
            v_requests[v_place] := (SELECT sum(one) FROM unnest(v_slots) AS one);
            IF v_requests[v_place] >= p_rpm[v_place] THEN
                v_wait[v_place] := guard_wait(v_slots, v_requests[v_place] + 1 - p_rpm[v_place], v_second);
            END IF;
            IF p_tpm[v_place] IS NOT NULL THEN
                v_slots := guard_shift(v_row.tokens, v_row.second, v_second);
                v_tokens[v_place] := (SELECT sum(one) FROM unnest(v_slots) AS one);
                v_size := coalesce(o_input[1] + o_output[1], 0);
                IF v_size <= p_tpm[v_place] AND v_tokens[v_place] + v_size > p_tpm[v_place] THEN
                    v_wait[v_place] := greatest(v_wait[v_place],
                        guard_wait(v_slots, v_tokens[v_place] + v_size - p_tpm[v_place], v_second));
                END IF;
            END IF;
            v_flying[v_place] := v_row.in_flight;
            IF v_row.in_flight >= p_concurrency[v_place] THEN
                v_wait[v_place] := greatest(v_wait[v_place], 1);
            END IF;
        END LOOP;
    END IF;
    IF p_check OR n_options = 0 THEN
        FOR v_row IN SELECT * FROM budgets_budgetperiod WHERE id = ANY (p_periods) ORDER BY id LOOP
            v_left := v_left || (v_row.carried - v_row.settled - v_row.metered - v_row.reserved);
            v_used := v_used || (v_row.settled + v_row.metered);
            v_reserved := v_reserved || v_row.reserved;
            v_carried := v_carried || v_row.carried;
            v_stale := v_stale || (v_at - v_row.metered_at > p_stale_after);
        END LOOP;
    ELSE
        FOR v_row IN SELECT * FROM budgets_budgetperiod WHERE id = ANY (p_periods) ORDER BY id FOR UPDATE LOOP
            v_left := v_left || (v_row.carried - v_row.settled - v_row.metered - v_row.reserved);
            v_used := v_used || (v_row.settled + v_row.metered);
            v_reserved := v_reserved || v_row.reserved;
            v_carried := v_carried || v_row.carried;
            v_stale := v_stale || (v_at - v_row.metered_at > p_stale_after);
        END LOOP;
    END IF;
    IF cardinality(v_left) <> n_periods OR v_seen <> n_rates THEN
        RETURN json_build_object('status', 'missing');
    END IF;
    FOR b IN 1 .. n_periods LOOP
        v_left[b] := v_left[b] + p_limits[b];
    END LOOP;

    -- The same request again: what it was given stands.
    IF p_again THEN
        SELECT * INTO v_hold FROM budgets_hold WHERE id = p_id;
        IF FOUND THEN
            RETURN json_build_object('status', 'replayed', 'same', v_hold.digest IS NOT DISTINCT FROM p_digest,
                'provider', v_hold.provider, 'model', v_hold.model, 'input', v_hold.input_tokens,
                'output', v_hold.output_tokens, 'usd', v_hold.estimate_usd, 'decision', v_hold.decision,
                'code', v_hold.code, 'mode', v_hold.mode, 'expires', v_hold.expires_at, 'used', v_used,
                'reserved', v_reserved, 'carried', v_carried, 'stale', v_stale);
        END IF;
    END IF;

    IF p_denied <> '' THEN
        v_first_code := p_denied;
    ELSE
        FOR v_pass IN 1 .. 2 LOOP
            FOR o IN 1 .. n_options LOOP
                v_code := NULL;
                v_at_budget := NULL;
                v_at_rate := NULL;
                v_usd := round(o_fixed[o] + o_per_token[o] * o_output[o], 12);
                v_size := o_input[o] + o_output[o];
                FOR b IN 1 .. n_periods LOOP
                    CONTINUE WHEN NOT p_hard[b] OR NOT o_budgets[(o - 1) * n_periods + b];
                    v_need := CASE p_units[b] WHEN 'usd' THEN v_usd WHEN 'tokens' THEN v_size ELSE 1 END;
                    v_code := CASE WHEN p_closed[b] AND v_stale[b] THEN 'budget_unverified'
                        WHEN v_need IS NULL THEN
                            CASE p_units[b] WHEN 'usd' THEN 'unpriced_model' ELSE 'unknown_tokens' END
                        WHEN v_need > v_left[b] THEN 'budget_exhausted' END;
                    IF v_code IS NOT NULL THEN
                        v_at_budget := b;
                        EXIT;
                    END IF;
                END LOOP;
                FOR r IN 1 .. n_rates LOOP
                    EXIT WHEN v_code IS NOT NULL;
                    CONTINUE WHEN NOT o_rates[(o - 1) * n_rates + r];
                    v_code := CASE WHEN v_requests[r] >= p_rpm[r] THEN 'requests_per_minute'
                        WHEN p_tpm[r] IS NOT NULL AND v_size IS NULL THEN 'unknown_tokens'
                        WHEN v_tokens[r] + v_size > p_tpm[r] THEN 'tokens_per_minute'
                        WHEN v_flying[r] >= p_concurrency[r] THEN 'concurrency' END;
                    v_at_rate := r;
                END LOOP;
                IF v_code IS NULL THEN
                    v_chosen := o;
                    EXIT;
                ELSIF o = 1 THEN
                    v_first_code := v_code;
                    v_first_budget := v_at_budget;
                    v_first_rate := v_at_rate;
                END IF;
            END LOOP;
            EXIT WHEN v_chosen = 1 OR v_pass = 2;

            -- It does not fit as asked: is something held that has expired?
            v_any_expired := false;
            FOR b IN 1 .. n_periods LOOP
                SELECT coalesce(sum(h.amounts[array_position(h.period_ids, p_periods[b])]), 0) INTO v_expired
                FROM budgets_hold h
                WHERE h.state = 'open' AND h.expires_at <= v_at AND h.period_ids @> ARRAY[p_periods[b]];
                v_left[b] := v_left[b] + v_expired;
                v_reserved[b] := v_reserved[b] - v_expired;
                v_any_expired := v_any_expired OR v_expired > 0;
            END LOOP;
            FOR r IN 1 .. n_rates LOOP
                CONTINUE WHEN p_concurrency[r] IS NULL;
                SELECT count(*) INTO v_expired FROM budgets_hold h
                WHERE h.state = 'open' AND h.expires_at <= v_at AND h.rate_keys @> ARRAY[p_rates[r]]::varchar[];
                v_flying[r] := v_flying[r] - v_expired;
                v_any_expired := v_any_expired OR v_expired > 0;
            END LOOP;
            EXIT WHEN NOT v_any_expired;
            v_chosen := 0;
        END LOOP;
    END IF;
    IF v_chosen > 0 THEN
        v_output := o_output[v_chosen];
        v_code := o_code[v_chosen];
        IF v_chosen > 1 AND v_first_code IS NOT NULL THEN
            v_code := v_first_code;
        END IF;
    ELSIF n_options > 0 AND p_cut_min IS NOT NULL AND p_denied = '' THEN
        -- A shorter answer of the last option, if that still is an answer.
        v_output := o_output[n_options];
        FOR b IN 1 .. n_periods LOOP
            CONTINUE WHEN NOT p_hard[b] OR NOT o_budgets[(n_options - 1) * n_periods + b];
            v_output := least(v_output, CASE
                WHEN p_closed[b] AND v_stale[b] THEN -1
                WHEN p_units[b] = 'usd' AND o_fixed[n_options] IS NULL THEN -1
                WHEN p_units[b] = 'usd' AND v_left[b] < o_fixed[n_options] THEN -1
                WHEN p_units[b] = 'usd' AND o_per_token[n_options] = 0 THEN v_output
                WHEN p_units[b] = 'usd' THEN div(v_left[b] - o_fixed[n_options], o_per_token[n_options])
                WHEN p_units[b] = 'tokens' THEN floor(v_left[b]) - o_input[n_options]
                WHEN v_left[b] < 1 THEN -1
                ELSE v_output END);
        END LOOP;
        FOR r IN 1 .. n_rates LOOP
            CONTINUE WHEN NOT o_rates[(n_options - 1) * n_rates + r];
            v_output := least(v_output, CASE
                WHEN v_requests[r] >= p_rpm[r] OR v_flying[r] >= p_concurrency[r] THEN -1
                WHEN p_tpm[r] IS NOT NULL THEN p_tpm[r] - v_tokens[r] - o_input[n_options]
                ELSE v_output END);
        END LOOP;
        IF v_output >= p_cut_min THEN
            v_chosen := n_options;
            v_code := v_first_code;
        END IF;
    END IF;

    IF v_chosen = 0 THEN
        IF NOT p_check THEN
            -- A refusal promises nothing: losing the count of the last moments in a crash is no harm.
            PERFORM set_config('synchronous_commit', 'off', true);
            PERFORM guard_count(p_team, v_at, coalesce(p_budgets[v_first_budget], 0), 'deny', v_first_code);
        END IF;
        RETURN json_build_object('status', 'ok', 'option', 0, 'code', v_first_code, 'budget', v_first_budget,
            'rate', v_first_rate, 'wait', v_wait[v_first_rate], 'used', v_used, 'reserved', v_reserved,
            'carried', v_carried, 'stale', v_stale);
    END IF;

    v_usd := round(o_fixed[v_chosen] + o_per_token[v_chosen] * v_output, 12);
    v_size := o_input[v_chosen] + v_output;
    FOR b IN 1 .. n_periods LOOP
        IF o_budgets[(v_chosen - 1) * n_periods + b] THEN
            v_need := CASE p_units[b] WHEN 'usd' THEN coalesce(v_usd, 0) WHEN 'tokens' THEN coalesce(v_size, 0)
                ELSE 1 END;
            v_ids := v_ids || p_periods[b];
            v_amounts := v_amounts || v_need;
            v_kinds := v_kinds || p_units[b];
            IF NOT p_check THEN
                v_reserved[b] := v_reserved[b] + v_need;
            END IF;
        END IF;
    END LOOP;
    IF NOT p_check THEN
        FOR r IN 1 .. n_rates LOOP
            CONTINUE WHEN NOT o_rates[(v_chosen - 1) * n_rates + r];
            v_keys := v_keys || p_rates[r];
            SELECT * INTO v_row FROM budgets_ratecounter WHERE key = p_rates[r];
            v_row.requests := guard_shift(v_row.requests, v_row.second, v_second);
            v_row.tokens := guard_shift(v_row.tokens, v_row.second, v_second);
            v_row.requests[v_second % 60 + 1] := v_row.requests[v_second % 60 + 1] + 1;
            v_row.tokens[v_second % 60 + 1] := v_row.tokens[v_second % 60 + 1] + coalesce(v_size, 0);
            UPDATE budgets_ratecounter SET second = greatest(second, v_second), requests = v_row.requests,
                tokens = v_row.tokens, in_flight = in_flight + 1 WHERE key = p_rates[r];
        END LOOP;
        IF cardinality(v_ids) > 0 THEN
            UPDATE budgets_budgetperiod SET reserved = reserved + v_amounts[array_position(v_ids, id)]
            WHERE id = ANY (v_ids);
        END IF;
        INSERT INTO budgets_hold (id, team_id, api_key_id, digest, state, created_at, expires_at, feature, tenant,
            environment, user_hash, cost_center, asked_model, provider, model, mode, decision, code, input_tokens,
            output_tokens, estimate_usd, period_ids, units, amounts, booked, rate_keys, event_usd, event_tokens,
            event_calls, event_count, event_unknown)
        VALUES (p_id, p_team, p_key, p_digest, 'open', v_at, v_at + make_interval(secs => p_ttl), p_facts[1],
            p_facts[2], p_facts[3], p_facts[4], p_facts[5], p_facts[6], o_provider[v_chosen], o_model[v_chosen],
            p_facts[7], CASE WHEN v_output < o_output[v_chosen] THEN 'degrade' ELSE o_decision[v_chosen] END, v_code,
            o_input[v_chosen], v_output, v_usd, v_ids, v_kinds, v_amounts, '{}', v_keys, 0, 0, 0, 0, 0);
        IF o_decision[v_chosen] = 'degrade' OR v_output < o_output[v_chosen] THEN
            PERFORM guard_count(p_team, v_at, coalesce(p_budgets[v_first_budget], 0), 'degrade', v_code);
        END IF;
    END IF;
    RETURN json_build_object('status', 'ok', 'option', v_chosen, 'output', v_output, 'usd', v_usd, 'code', v_code,
        'budget', v_first_budget, 'rate', v_first_rate, 'expires', v_at + make_interval(secs => p_ttl),
        'used', v_used, 'reserved', v_reserved, 'carried', v_carried, 'stale', v_stale);
END $$;
"""

# Takes a hold whose figures of client and events are up to date and books what they say; the hold is locked by the
# caller. Booking is a function of the figures alone, so their order does not matter and a repetition changes nothing.
BOOK = """
CREATE FUNCTION guard_book(h budgets_hold, p_at timestamptz) RETURNS budgets_hold LANGUAGE plpgsql AS $$
DECLARE
    v_cost numeric;
    v_tokens numeric;
    v_booked numeric[] := '{}';
    v_delta numeric[] := '{}';
    v_open boolean := h.state = 'open';
BEGIN
    v_cost := CASE
        WHEN h.event_count > 0 AND h.event_unknown = 0 THEN h.event_usd
        WHEN h.client_usd IS NOT NULL THEN greatest(h.client_usd, h.event_usd)
        WHEN h.estimate_usd IS NOT NULL THEN greatest(h.estimate_usd, h.event_usd) END;
    v_tokens := CASE WHEN h.event_count > 0 THEN h.event_tokens
        ELSE coalesce(h.client_tokens, h.input_tokens + h.output_tokens) END;
    FOR l IN 1 .. cardinality(h.period_ids) LOOP
        v_booked := v_booked || CASE h.units[l] WHEN 'usd' THEN coalesce(v_cost, h.event_usd)
            WHEN 'tokens' THEN coalesce(v_tokens, 0) ELSE greatest(1, h.event_calls) END;
        v_delta := v_delta || (v_booked[l] - coalesce(h.booked[l], 0));
    END LOOP;
    IF v_open AND cardinality(h.rate_keys) > 0 THEN
        PERFORM FROM budgets_ratecounter WHERE key = ANY (h.rate_keys) ORDER BY key FOR UPDATE;
        UPDATE budgets_ratecounter SET in_flight = greatest(in_flight - 1, 0) WHERE key = ANY (h.rate_keys);
    END IF;
    IF cardinality(h.period_ids) > 0 THEN
        PERFORM FROM budgets_budgetperiod WHERE id = ANY (h.period_ids) ORDER BY id FOR UPDATE;
        UPDATE budgets_budgetperiod
        SET settled = settled + v_delta[array_position(h.period_ids, id)],
            reserved = reserved - CASE WHEN v_open THEN h.amounts[array_position(h.period_ids, id)] ELSE 0 END
        WHERE id = ANY (h.period_ids);
    END IF;
    h.booked := v_booked;
    h.cost_usd := v_cost;
    h.state := 'settled';
    h.closed_at := coalesce(h.closed_at, p_at);
    UPDATE budgets_hold SET state = h.state, closed_at = h.closed_at, booked = h.booked, cost_usd = h.cost_usd,
        client_settled_at = h.client_settled_at, client_usd = h.client_usd, client_tokens = h.client_tokens,
        event_usd = h.event_usd, event_tokens = h.event_tokens, event_calls = h.event_calls,
        event_count = h.event_count, event_unknown = h.event_unknown
    WHERE id = h.id;
    RETURN h;
END $$;

CREATE FUNCTION guard_told(status text, h budgets_hold) RETURNS text LANGUAGE sql AS $$
    SELECT json_build_object('status', status, 'state', h.state, 'cost_usd', h.cost_usd,
        'estimate_usd', h.estimate_usd, 'expires', h.expires_at, 'closed', h.closed_at,
        'from_events', h.event_count > 0 AND h.event_unknown = 0,
        'client_known', h.client_usd IS NOT NULL)::text;
$$;

CREATE FUNCTION guard_settle(
    p_key bigint, p_team bigint, p_id uuid, p_usd numeric, p_tokens bigint, p_at timestamptz
) RETURNS text LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_apikey WHERE id = p_key AND revoked_at IS NULL) THEN
        RETURN json_build_object('status', 'no_key');
    END IF;
    SELECT * INTO h FROM budgets_hold WHERE id = p_id AND team_id = p_team FOR UPDATE;
    IF NOT FOUND THEN
        RETURN json_build_object('status', 'unknown');
    ELSIF h.client_settled_at IS NOT NULL THEN
        RETURN guard_told(CASE WHEN h.client_usd IS NOT DISTINCT FROM p_usd
            AND h.client_tokens IS NOT DISTINCT FROM p_tokens THEN 'again' ELSE 'differs' END, h);
    END IF;
    h.client_settled_at := coalesce(p_at, clock_timestamp());
    h.client_usd := p_usd;
    h.client_tokens := p_tokens;
    RETURN guard_told('ok', guard_book(h, h.client_settled_at));
END $$;
"""

# Gives back what holds that never were used hold.
FREE = """
CREATE FUNCTION guard_free(h budgets_hold, p_state text, p_at timestamptz) RETURNS budgets_hold LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(h.rate_keys) > 0 THEN
        PERFORM FROM budgets_ratecounter WHERE key = ANY (h.rate_keys) ORDER BY key FOR UPDATE;
        UPDATE budgets_ratecounter SET in_flight = greatest(in_flight - 1, 0) WHERE key = ANY (h.rate_keys);
    END IF;
    IF cardinality(h.period_ids) > 0 THEN
        PERFORM FROM budgets_budgetperiod WHERE id = ANY (h.period_ids) ORDER BY id FOR UPDATE;
        UPDATE budgets_budgetperiod SET reserved = reserved - h.amounts[array_position(h.period_ids, id)]
        WHERE id = ANY (h.period_ids);
    END IF;
    h.state := p_state;
    h.closed_at := p_at;
    UPDATE budgets_hold SET state = p_state, closed_at = p_at WHERE id = h.id;
    RETURN h;
END $$;

CREATE FUNCTION guard_release(p_key bigint, p_team bigint, p_id uuid, p_at timestamptz)
RETURNS text LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_apikey WHERE id = p_key AND revoked_at IS NULL) THEN
        RETURN json_build_object('status', 'no_key');
    END IF;
    SELECT * INTO h FROM budgets_hold WHERE id = p_id AND team_id = p_team FOR UPDATE;
    IF NOT FOUND THEN
        RETURN json_build_object('status', 'unknown');
    ELSIF h.state = 'open' THEN
        RETURN guard_told('ok', guard_free(h, 'released', coalesce(p_at, clock_timestamp())));
    END IF;
    RETURN guard_told(CASE h.state WHEN 'settled' THEN 'settled' ELSE 'again' END, h);
END $$;

CREATE FUNCTION guard_extend(p_key bigint, p_team bigint, p_id uuid, p_ttl integer, p_at timestamptz)
RETURNS text LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
    v_at timestamptz := coalesce(p_at, clock_timestamp());
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_apikey WHERE id = p_key AND revoked_at IS NULL) THEN
        RETURN json_build_object('status', 'no_key');
    END IF;
    SELECT * INTO h FROM budgets_hold WHERE id = p_id AND team_id = p_team FOR UPDATE;
    IF NOT FOUND THEN
        RETURN json_build_object('status', 'unknown');
    ELSIF h.state <> 'open' OR h.expires_at <= v_at THEN
        RETURN guard_told('closed', h);
    END IF;
    h.expires_at := greatest(h.expires_at, v_at + make_interval(secs => p_ttl));
    UPDATE budgets_hold SET expires_at = h.expires_at WHERE id = h.id;
    RETURN guard_told('ok', h);
END $$;

-- Tidies holds that have expired, some at a time; returns how many.
CREATE FUNCTION guard_sweep(p_limit integer, p_at timestamptz)
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(SELECT id FROM (SELECT id FROM budgets_hold WHERE state = 'open' AND expires_at <= v_at
        ORDER BY expires_at LIMIT p_limit) AS due ORDER BY id);
    v_ids := ARRAY(SELECT id FROM budgets_hold WHERE id = ANY (v_ids) AND state = 'open' AND expires_at <= v_at
        ORDER BY id FOR UPDATE SKIP LOCKED);
    PERFORM FROM budgets_ratecounter WHERE key IN (SELECT unnest(rate_keys) FROM budgets_hold WHERE id = ANY (v_ids))
    ORDER BY key FOR UPDATE;
    PERFORM FROM budgets_budgetperiod
    WHERE id IN (SELECT unnest(period_ids) FROM budgets_hold WHERE id = ANY (v_ids)) ORDER BY id FOR UPDATE;
    FOR h IN SELECT * FROM budgets_hold WHERE id = ANY (v_ids) LOOP
        PERFORM guard_free(h, 'expired', v_at);
    END LOOP;
    RETURN cardinality(v_ids);
END $$;
"""

NAMES = (
    "guard_sweep", "guard_extend", "guard_release", "guard_free", "guard_settle", "guard_told", "guard_book",
    "guard_decide", "guard_count", "guard_wait", "guard_shift",
)  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [
        ("budgets", "0003_guard"),
        ("incidents", "0001_initial"),
        ("usage", "0005_repricing_newly_priced"),
        ("accounts", "0004_prices_scope"),
    ]
    operations = [
        migrations.RunSQL(VERSIONS, UNDO_VERSIONS),
        migrations.RunSQL(SHIFT + DECIDE + BOOK + FREE, "".join(f"DROP FUNCTION {name} CASCADE;\n" for name in NAMES)),
    ]
