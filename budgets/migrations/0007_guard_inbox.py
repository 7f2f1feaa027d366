"""Settling reservations from the usage events that name them."""

from django.db import migrations

# Takes events from the inbox, some at a time. Those of a hold are added to its figures, all together, whatever their
# order, and booked; the locks are taken in the guard's order: holds, rate counters, periods. Those of no hold stay, and
# are counted in `left_over`; rows whose event is gone are removed.
SETTLE = """
-- The reservation a text names, null where it cannot be one.
CREATE FUNCTION guard_named(p_text text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p_text::uuid END;
$$;

CREATE FUNCTION guard_settle_events(p_after bigint, p_limit integer, p_at timestamptz, p_operations text[],
    p_wrappers text[], OUT taken integer, OUT last_id bigint)
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
    v_inbox bigint[];
    v_holds uuid[];
    v_sums record;
BEGIN
    v_inbox := ARRAY(SELECT id FROM usage_reservation_event WHERE id > p_after ORDER BY id LIMIT p_limit
        FOR UPDATE SKIP LOCKED);
    taken := cardinality(v_inbox);
    last_id := v_inbox[taken];
    DELETE FROM usage_reservation_event i WHERE i.id = ANY (v_inbox) AND NOT EXISTS (
        SELECT FROM usage_event e
        WHERE e.team_id = i.team_id AND e.occurred_at = i.occurred_at AND e.event_id = i.event_id);
    v_holds := ARRAY(SELECT DISTINCT b.id
        FROM usage_reservation_event i
        JOIN usage_event e ON e.team_id = i.team_id AND e.occurred_at = i.occurred_at AND e.event_id = i.event_id
        JOIN budgets_hold b ON b.id = guard_named(e.reservation_id) AND b.team_id = e.team_id
        WHERE i.id = ANY (v_inbox));
    PERFORM FROM budgets_hold WHERE id = ANY (v_holds) ORDER BY id FOR UPDATE;
    PERFORM FROM budgets_ratecounter WHERE key IN (SELECT unnest(rate_keys) FROM budgets_hold WHERE id = ANY (v_holds))
    ORDER BY key FOR UPDATE;
    PERFORM FROM budgets_budgetperiod
    WHERE id IN (SELECT unnest(period_ids) FROM budgets_hold WHERE id = ANY (v_holds)) ORDER BY id FOR UPDATE;
    FOR h IN SELECT * FROM budgets_hold WHERE id = ANY (v_holds) LOOP
        WITH mine AS (
            DELETE FROM usage_reservation_event i USING usage_event e
            WHERE i.id = ANY (v_inbox) AND e.team_id = i.team_id AND e.occurred_at = i.occurred_at
                AND e.event_id = i.event_id AND i.team_id = h.team_id AND guard_named(e.reservation_id) = h.id
            RETURNING e.team_id, e.series_id, e.cost_usd, e.cost_state, e.input_tokens, e.output_tokens
        )
        SELECT coalesce(sum(m.cost_usd), 0) AS usd,
            coalesce(sum(coalesce(m.input_tokens, 0)::bigint + coalesce(m.output_tokens, 0))
                FILTER (WHERE s.operation <> ALL (p_wrappers)), 0) AS tokens,
            count(*) FILTER (WHERE s.operation = ANY (p_operations)) AS calls,
            count(*) FILTER (WHERE m.cost_state <> 0) AS counted,
            count(*) FILTER (WHERE m.cost_state IN (2, 3)) AS unknown
        INTO v_sums FROM mine m JOIN usage_series s ON s.team_id = m.team_id AND s.id = m.series_id;
        h.event_usd := h.event_usd + v_sums.usd;
        h.event_tokens := h.event_tokens + v_sums.tokens;
        h.event_calls := h.event_calls + v_sums.calls;
        h.event_count := h.event_count + v_sums.counted;
        h.event_unknown := h.event_unknown + v_sums.unknown;
        IF v_sums.counted > 0 OR h.state = 'settled' THEN
            PERFORM guard_book(h, p_at);
        END IF;
    END LOOP;
END $$;

-- Books events that name no reservation known here: amounts by budget period, and the inbox rows they are from. Returns
-- false, and books nothing, where another process was first.
CREATE FUNCTION guard_book_unknown(p_inbox bigint[], p_periods bigint[], p_amounts numeric[])
RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_ids bigint[];
BEGIN
    v_ids := ARRAY(SELECT id FROM usage_reservation_event WHERE id = ANY (p_inbox) ORDER BY id FOR UPDATE SKIP LOCKED);
    IF cardinality(v_ids) <> cardinality(p_inbox) THEN
        RETURN false;
    END IF;
    PERFORM FROM budgets_budgetperiod WHERE id = ANY (p_periods) ORDER BY id FOR UPDATE;
    UPDATE budgets_budgetperiod SET settled = settled + p_amounts[array_position(p_periods, id)]
    WHERE id = ANY (p_periods);
    DELETE FROM usage_reservation_event WHERE id = ANY (v_ids);
    RETURN true;
END $$;
"""
UNDO = "DROP FUNCTION guard_settle_events CASCADE; DROP FUNCTION guard_book_unknown CASCADE; DROP FUNCTION guard_named;"


class Migration(migrations.Migration):
    dependencies = [("budgets", "0006_forecasts"), ("usage", "0011_reservations")]
    operations = [migrations.RunSQL(SETTLE, UNDO)]
