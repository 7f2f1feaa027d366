"""Re-priced events that name a reservation change what it was settled with."""

from django.db import migrations

# Takes corrections, some at a time, and books them into the holds, or the stray events, that they are of. The locks are
# taken in the guard's order: holds, periods. Rate counters are of open holds; an event that costs has closed its own.
CORRECT = """
CREATE FUNCTION guard_correct(p_limit integer, p_at timestamptz)
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    h budgets_hold%ROWTYPE;
    v_ids bigint[];
    v_holds uuid[];
    v_rows bigint[];
    v_amounts numeric[];
    v_sums record;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7302040);
    v_ids := ARRAY(SELECT id FROM usage_reservation_correction ORDER BY id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    v_holds := ARRAY(SELECT DISTINCT b.id FROM usage_reservation_correction c
        JOIN budgets_hold b ON b.id = guard_named(c.reservation_id) AND b.team_id = c.team_id
        WHERE c.id = ANY (v_ids));
    PERFORM FROM budgets_hold WHERE id = ANY (v_holds) ORDER BY id FOR UPDATE;
    WITH strays AS (
        UPDATE budgets_strayevent k SET usd = k.usd + c.usd
        FROM (SELECT team_id, occurred_at, event_id, sum(usd) AS usd FROM usage_reservation_correction
            WHERE id = ANY (v_ids) GROUP BY 1, 2, 3) c
        WHERE k.team_id = c.team_id AND k.occurred_at = c.occurred_at AND k.event_id = c.event_id
        RETURNING k.*, c.usd AS more
    ), sums AS (
        SELECT p.id, sum(k.more) AS amount
        FROM strays k JOIN budgets_budgetperiod p ON p.starts_at <= k.occurred_at AND p.ends_at > k.occurred_at
        JOIN budgets_budget b ON b.id = p.budget_id AND b.unit = 'usd' AND guard_covers(b, k.team_id, k.feature,
            k.tenant, k.environment, k.user_hash, k.provider, k.model, k.cost_center)
        GROUP BY p.id
    )
    SELECT array_agg(id), array_agg(amount) INTO v_rows, v_amounts FROM sums;
    PERFORM FROM budgets_budgetperiod WHERE id = ANY (v_rows)
        OR id IN (SELECT unnest(period_ids) FROM budgets_hold WHERE id = ANY (v_holds)
            UNION ALL SELECT l.id FROM budgets_hold b, guard_late(b) l WHERE b.id = ANY (v_holds))
    ORDER BY id FOR UPDATE;
    UPDATE budgets_budgetperiod SET settled = settled + v_amounts[array_position(v_rows, id)] WHERE id = ANY (v_rows);
    FOR h IN SELECT * FROM budgets_hold WHERE id = ANY (v_holds) LOOP
        h := guard_join(h);
        SELECT sum(usd) AS usd, sum(unknown) AS unknown INTO v_sums FROM usage_reservation_correction
        WHERE id = ANY (v_ids) AND team_id = h.team_id AND guard_named(reservation_id) = h.id;
        h.event_usd := h.event_usd + v_sums.usd;
        h.event_unknown := h.event_unknown + v_sums.unknown;
        PERFORM guard_book(h, p_at);
    END LOOP;
    DELETE FROM usage_reservation_correction WHERE id = ANY (v_ids);
    RETURN cardinality(v_ids);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0012_ledger_from_holds"), ("usage", "0013_reservation_corrections")]
    operations = [migrations.RunSQL(CORRECT, "DROP FUNCTION guard_correct")]
