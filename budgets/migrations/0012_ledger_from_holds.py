"""A period that is opened late takes its figures from the reservations, so a budget may change at any moment.

What a period's row says is a function of the holds (and of the events that name a reservation nobody has, kept in
budgets_strayevent). Rows that hold or settle later than that are found by a hold's own `period_ids`: open holds are
given the new row when it is opened, closed ones when they are booked again, which is rare.

Nothing may be reserved or booked between the count and its commit. Those who do so hold the lock 7302040 shared, and
take it before any row; who counts holds it alone.
"""

from importlib import import_module

import django.db.models.functions.datetime
from django.db import migrations, models

from usage.measures import MODEL_OPERATIONS, WRAPPER_OPERATIONS
from usage.models.scopes import SCOPE_FIELDS

_before = import_module("budgets.migrations.0004_guard_functions")
_inbox = import_module("budgets.migrations.0007_guard_inbox")

SHARED = "    PERFORM pg_advisory_xact_lock_shared(7302040);\n"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The functions of a migration as CREATE OR REPLACE, changed. Raises AssertionError where a part is not there."""
    for old, new in pairs:
        if text.count(old) != 1:
            raise AssertionError(f"not what this migration changes: {old!r}")
        text = text.replace(old, new)
    return text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def function(text: str, name: str) -> str:
    """One function out of a migration's text."""
    start = text.index(f"CREATE FUNCTION {name}(")
    return text[start : text.index("END $$;", start) + len("END $$;")] + "\n"


_DECIDE = function(_before.DECIDE, "guard_decide")
_BOOK = function(_before.BOOK, "guard_book")
_SETTLE = function(_before.BOOK, "guard_settle")
_EVENTS = function(_inbox.SETTLE, "guard_settle_events")
_UNKNOWN = function(_inbox.SETTLE, "guard_book_unknown")

# An edit waits until a row that is being opened is there, and then removes it too.
RECOUNT = """
CREATE OR REPLACE FUNCTION guard_recount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM budgets_guardversion WHERE id = 1 FOR UPDATE;
    DELETE FROM budgets_budgetperiod WHERE budget_id = NEW.id;
    RETURN NULL;
END $$;
"""
OLD_RECOUNT = RECOUNT.replace("    PERFORM FROM budgets_guardversion WHERE id = 1 FOR UPDATE;\n", "")

FIGURES = """
CREATE FUNCTION guard_covers(b budgets_budget, p_team bigint, p_feature text, p_tenant text, p_environment text,
    p_user_hash text, p_provider text, p_model text, p_cost_center text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (b.team_id IS NULL OR b.team_id = p_team) AND (b.feature = '' OR b.feature = p_feature)
        AND (b.tenant = '' OR b.tenant = p_tenant) AND (b.environment = '' OR b.environment = p_environment)
        AND (b.user_hash = '' OR b.user_hash = p_user_hash) AND (b.provider = '' OR b.provider = p_provider)
        AND (b.model = '' OR b.model = p_model) AND (b.cost_center = '' OR b.cost_center = p_cost_center);
$$;

-- What decides which calls and periods a budget counts, and in what.
CREATE FUNCTION guard_counts(b budgets_budget) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[coalesce(b.team_id::text, ''), b.feature, b.tenant, b.environment, b.user_hash, b.provider, b.model,
        b.cost_center, b.unit, b.period, b.time_zone, b.anchor::text];
$$;

-- What an open hold reserves in a unit.
CREATE FUNCTION guard_reserved(h budgets_hold, p_unit text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_unit WHEN 'usd' THEN coalesce(h.estimate_usd, 0)
        WHEN 'tokens' THEN coalesce(h.input_tokens + h.output_tokens, 0) ELSE 1 END;
$$;

-- What a settled hold cost, USD, null where that is not known; and what it books in a unit.
CREATE FUNCTION guard_usd(h budgets_hold) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN h.event_count > 0 AND h.event_unknown = 0 THEN h.event_usd
        WHEN h.client_usd IS NOT NULL THEN greatest(h.client_usd, h.event_usd)
        WHEN h.estimate_usd IS NOT NULL THEN greatest(h.estimate_usd, h.event_usd) END;
$$;
CREATE FUNCTION guard_booked(h budgets_hold, p_unit text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_unit
        WHEN 'usd' THEN coalesce(guard_usd(h), h.event_usd)
        WHEN 'tokens' THEN CASE WHEN h.event_count > 0 THEN h.event_tokens
            ELSE coalesce(h.client_tokens, h.input_tokens + h.output_tokens, 0) END
        ELSE greatest(1, h.event_calls) END;
$$;
"""

BOOK = """
CREATE OR REPLACE FUNCTION guard_book(h budgets_hold, p_at timestamptz) RETURNS budgets_hold LANGUAGE plpgsql AS $$
DECLARE
    v_booked numeric[] := '{}';
    v_delta numeric[] := '{}';
    v_open boolean := h.state = 'open';
BEGIN
    FOR l IN 1 .. cardinality(h.period_ids) LOOP
        v_booked := v_booked || guard_booked(h, h.units[l]);
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
    h.cost_usd := guard_usd(h);
    h.state := 'settled';
    h.closed_at := coalesce(h.closed_at, p_at);
    UPDATE budgets_hold SET state = h.state, closed_at = h.closed_at, booked = h.booked, cost_usd = h.cost_usd,
        period_ids = h.period_ids, units = h.units, amounts = h.amounts,
        client_settled_at = h.client_settled_at, client_usd = h.client_usd, client_tokens = h.client_tokens,
        event_usd = h.event_usd, event_tokens = h.event_tokens, event_calls = h.event_calls,
        event_count = h.event_count, event_unknown = h.event_unknown
    WHERE id = h.id;
    RETURN h;
END $$;

-- Rows that were opened after a hold was made and that it does not name: what it was when they were opened is in them.
CREATE FUNCTION guard_late(h budgets_hold) RETURNS TABLE (id bigint, unit text) LANGUAGE sql STABLE AS $$
    SELECT p.id, b.unit FROM budgets_budgetperiod p JOIN budgets_budget b ON b.id = p.budget_id
    WHERE p.opened_at >= h.created_at AND p.starts_at <= h.created_at AND p.ends_at > h.created_at
        AND guard_covers(b, h.team_id, h.feature, h.tenant, h.environment, h.user_hash, h.provider, h.model,
            h.cost_center)
        AND NOT EXISTS (
            SELECT FROM budgets_budgetperiod o WHERE o.budget_id = p.budget_id AND o.id = ANY (h.period_ids));
$$;

-- A closed hold with those rows, before its figures change. The hold is locked by the caller.
CREATE FUNCTION guard_join(h budgets_hold) RETURNS budgets_hold LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
BEGIN
    FOR v_row IN SELECT * FROM guard_late(h) LOOP
        h.period_ids := h.period_ids || v_row.id;
        h.units := h.units || v_row.unit::varchar;
        h.amounts := h.amounts || guard_reserved(h, v_row.unit);
        IF h.state = 'settled' THEN
            h.booked[cardinality(h.period_ids)] := guard_booked(h, v_row.unit);
        END IF;
    END LOOP;
    RETURN h;
END $$;
"""

SETTLE = replaced(
    _SETTLE,
    ("BEGIN\n", "BEGIN\n" + SHARED),
    (
        "    h.client_settled_at := coalesce",
        "    IF h.state <> 'open' THEN\n        h := guard_join(h);\n    END IF;\n    h.client_settled_at := coalesce",
    ),
)
DECIDE = replaced(
    _DECIDE,
    (
        "    -- Is what the caller remembers still so?\n",
        "    IF NOT p_check THEN\n    " + SHARED + "    END IF;\n    -- Is what the caller remembers still so?\n",
    ),
)
EVENTS = replaced(
    _EVENTS,
    ("BEGIN\n", "BEGIN\n" + SHARED),
    (
        "    WHERE id IN (SELECT unnest(period_ids) FROM budgets_hold WHERE id = ANY (v_holds)) ORDER BY id FOR UPDATE;"
        "\n",
        """    WHERE id IN (SELECT unnest(period_ids) FROM budgets_hold WHERE id = ANY (v_holds)
        UNION ALL SELECT l.id FROM budgets_hold b, guard_late(b) l WHERE b.id = ANY (v_holds) AND b.state <> 'open')
    ORDER BY id FOR UPDATE;
""",
    ),
    (
        "WHERE id = ANY (v_holds) LOOP\n",
        "WHERE id = ANY (v_holds) LOOP\n        IF h.state <> 'open' THEN\n            h := guard_join(h);\n"
        "        END IF;\n",
    ),
)

STRAYS = """
-- Takes events that name a reservation nobody has out of the inbox, keeps them, and books them by their own facts.
CREATE FUNCTION guard_book_strays(p_upto bigint, p_limit integer, p_operations text[], p_wrappers text[])
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_inbox bigint[];
    v_ids bigint[];
    v_amounts numeric[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7302040);
    v_inbox := ARRAY(SELECT id FROM usage_reservation_event WHERE id <= p_upto ORDER BY id LIMIT p_limit
        FOR UPDATE SKIP LOCKED);
    WITH taken AS (
        DELETE FROM usage_reservation_event i USING usage_event e
        WHERE i.id = ANY (v_inbox) AND e.team_id = i.team_id AND e.occurred_at = i.occurred_at
            AND e.event_id = i.event_id AND NOT EXISTS (
                SELECT FROM budgets_hold h WHERE h.id = guard_named(e.reservation_id) AND h.team_id = e.team_id)
        RETURNING e.*
    ), kept AS (
        INSERT INTO budgets_strayevent (team_id, occurred_at, event_id, feature, tenant, environment, user_hash,
            provider, model, cost_center, usd, tokens, requests)
        SELECT t.team_id, t.occurred_at, t.event_id, s.feature, coalesce(t.tenant, ''), s.environment,
            coalesce(t.user_hash, ''), s.provider, s.model, s.cost_center, coalesce(t.cost_usd, 0),
            CASE WHEN s.operation = ANY (p_wrappers) THEN 0
                ELSE coalesce(t.input_tokens, 0)::bigint + coalesce(t.output_tokens, 0) END,
            CASE WHEN s.operation = ANY (p_operations) THEN 1 ELSE 0 END
        FROM taken t JOIN usage_series s ON s.team_id = t.team_id AND s.id = t.series_id
        ON CONFLICT DO NOTHING RETURNING *
    ), sums AS (
        SELECT p.id, sum(CASE b.unit WHEN 'usd' THEN k.usd WHEN 'tokens' THEN k.tokens ELSE k.requests END) AS amount
        FROM kept k JOIN budgets_budgetperiod p ON p.starts_at <= k.occurred_at AND p.ends_at > k.occurred_at
        JOIN budgets_budget b ON b.id = p.budget_id AND guard_covers(b, k.team_id, k.feature, k.tenant, k.environment,
            k.user_hash, k.provider, k.model, k.cost_center)
        GROUP BY p.id
    )
    SELECT array_agg(id), array_agg(amount) INTO v_ids, v_amounts FROM sums;
    PERFORM FROM budgets_budgetperiod WHERE id = ANY (v_ids) ORDER BY id FOR UPDATE;
    UPDATE budgets_budgetperiod SET settled = settled + v_amounts[array_position(v_ids, id)] WHERE id = ANY (v_ids);
    RETURN cardinality(v_inbox);
END $$;
DROP FUNCTION guard_book_unknown;
"""

# p_before: what guarded calls used from the period's begin to p_from, where their holds are not kept any more. A hold
# belongs to the row that it names of a budget, else to the period that it was made in; clocks may differ by an hour.
OPEN = """
CREATE FUNCTION guard_fill(p_row bigint, p_from timestamptz, p_before numeric, p_at timestamptz)
RETURNS void LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    p budgets_budgetperiod%ROWTYPE;
    b budgets_budget%ROWTYPE;
    v_others bigint[];
    v_open uuid[];
    v_reserved numeric;
    v_settled numeric;
    v_strays numeric;
BEGIN
    PERFORM pg_advisory_xact_lock(7302040);
    SELECT * INTO p FROM budgets_budgetperiod WHERE id = p_row;
    SELECT * INTO b FROM budgets_budget WHERE id = p.budget_id;
    v_others := ARRAY(SELECT id FROM budgets_budgetperiod WHERE budget_id = b.id AND id <> p.id);

    -- What is open and locked stays open; what was closed before it could be locked is seen closed from here on.
    v_open := ARRAY(SELECT h.id FROM budgets_hold h WHERE h.state = 'open' AND BELONGS);
    v_open := ARRAY(SELECT id FROM budgets_hold WHERE id = ANY (v_open) AND state = 'open' ORDER BY id FOR UPDATE);
    SELECT coalesce(sum(guard_reserved(h, b.unit)), 0) INTO v_reserved FROM budgets_hold h WHERE h.id = ANY (v_open);
    UPDATE budgets_hold h SET period_ids = h.period_ids || p.id, units = h.units || b.unit,
        amounts = h.amounts || guard_reserved(h, b.unit)
    WHERE h.id = ANY (v_open) AND p.id <> ALL (h.period_ids);

    SELECT coalesce(sum(guard_booked(h, b.unit)), 0) INTO v_settled
    FROM accounts_team t JOIN budgets_hold h ON h.team_id = t.id
    WHERE (b.team_id IS NULL OR t.id = b.team_id) AND h.state = 'settled'
        AND h.created_at >= CASE WHEN p_from > p.starts_at THEN p_from ELSE p.starts_at - interval '1 hour' END
        AND h.created_at < p.ends_at + interval '1 hour' AND BELONGS;
    SELECT coalesce(sum(CASE b.unit WHEN 'usd' THEN k.usd WHEN 'tokens' THEN k.tokens ELSE k.requests END), 0)
    INTO v_strays FROM budgets_strayevent k
    WHERE k.occurred_at >= p_from AND k.occurred_at < p.ends_at
        AND guard_covers(b, k.team_id, k.feature, k.tenant, k.environment, k.user_hash, k.provider, k.model,
            k.cost_center);
    UPDATE budgets_budgetperiod SET reserved = v_reserved, settled = p_before + v_settled + v_strays,
        opened_at = greatest(clock_timestamp(), p_at)
    WHERE id = p.id;
END $$;

-- Makes the row of a period, unless it is there or the budget no longer counts what p_counts says; returns whether.
CREATE FUNCTION guard_open(p_budget bigint, p_counts text[], p_starts timestamptz, p_ends timestamptz,
    p_metered numeric, p_unknown integer, p_carried numeric, p_from timestamptz, p_before numeric, p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    v_row bigint;
BEGIN
    -- The row's trigger takes this too; taken first, nobody waits in a circle.
    PERFORM FROM budgets_guardversion WHERE id = 1 FOR UPDATE;
    IF EXISTS (SELECT FROM budgets_budgetperiod WHERE budget_id = p_budget AND starts_at = p_starts)
        OR NOT EXISTS (SELECT FROM budgets_budget b WHERE b.id = p_budget AND guard_counts(b) = p_counts) THEN
        RETURN false;
    END IF;
    INSERT INTO budgets_budgetperiod (budget_id, starts_at, ends_at, reserved, settled, metered, metered_at,
        unknown_calls, carried, opened_at)
    VALUES (p_budget, p_starts, p_ends, 0, 0, p_metered, p_at, p_unknown, p_carried, clock_timestamp())
    RETURNING id INTO v_row;
    IF p_starts <= greatest(clock_timestamp(), p_at) THEN
        PERFORM guard_fill(v_row, p_from, p_before, p_at);
    END IF;
    RETURN true;
END $$;
""".replace(
    "BELONGS",
    """guard_covers(b, h.team_id, h.feature, h.tenant, h.environment, h.user_hash, h.provider, h.model, h.cost_center)
        AND (p.id = ANY (h.period_ids) OR (h.created_at >= p.starts_at AND h.created_at < p.ends_at
            AND NOT h.period_ids && v_others))""",
)

# Events that nobody's reservation was found for before they were kept.
KEEP_STRAYS = """
INSERT INTO budgets_strayevent (team_id, occurred_at, event_id, feature, tenant, environment, user_hash, provider,
    model, cost_center, usd, tokens, requests)
SELECT e.team_id, e.occurred_at, e.event_id, s.feature, coalesce(e.tenant, ''), s.environment,
    coalesce(e.user_hash, ''), s.provider, s.model, s.cost_center, coalesce(e.cost_usd, 0),
    CASE WHEN s.operation = ANY (%s) THEN 0
        ELSE coalesce(e.input_tokens, 0)::bigint + coalesce(e.output_tokens, 0) END,
    CASE WHEN s.operation = ANY (%s) THEN 1 ELSE 0 END
FROM usage_event e JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id
WHERE e.reservation_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM budgets_hold h WHERE h.id = guard_named(e.reservation_id) AND h.team_id = e.team_id)
    AND NOT EXISTS (SELECT FROM usage_reservation_event i WHERE i.team_id = e.team_id
        AND i.occurred_at = e.occurred_at AND i.event_id = e.event_id)
"""


def keep_strays(apps, editor) -> None:
    editor.execute(KEEP_STRAYS, [list(WRAPPER_OPERATIONS), list(MODEL_OPERATIONS)])


BACK = "".join(
    f"DROP FUNCTION {name};\n" for name in ("guard_open", "guard_fill", "guard_book_strays", "guard_join", "guard_late")
)
FIGURES_BACK = "".join(
    f"DROP FUNCTION {name};\n"
    for name in ("guard_booked", "guard_usd", "guard_reserved", "guard_counts", "guard_covers")
)
OLD = OLD_RECOUNT + "".join(replaced(text) for text in (_DECIDE, _BOOK, _SETTLE, _EVENTS)) + _UNKNOWN


class Migration(migrations.Migration):
    dependencies = [("budgets", "0011_more_watched")]
    operations = [
        migrations.AddField(
            "budgetperiod",
            "opened_at",
            models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="What holds made before it, and not naming it, were then is in it",
            ),
        ),
        migrations.RunSQL("UPDATE budgets_budgetperiod SET opened_at = starts_at", ""),
        migrations.AddIndex("budgetperiod", models.Index(fields=["opened_at"], name="budget_period_by_opening")),
        migrations.CreateModel(
            "StrayEvent",
            [
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "team_id",
                        "occurred_at",
                        "event_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("team_id", models.BigIntegerField()),
                ("occurred_at", models.DateTimeField()),
                ("event_id", models.TextField(db_collation="C")),
                *[(name, models.TextField()) for name in SCOPE_FIELDS],
                (
                    "usd",
                    models.DecimalField(decimal_places=12, help_text="0 where its cost is not known", max_digits=30),
                ),
                ("tokens", models.BigIntegerField()),
                ("requests", models.IntegerField()),
            ],
            {"indexes": [models.Index(fields=["occurred_at"], name="stray_event_by_time")]},
        ),
        migrations.RunSQL(FIGURES, FIGURES_BACK),
        migrations.RunSQL(RECOUNT + DECIDE + BOOK + SETTLE + EVENTS + STRAYS + OPEN, BACK + OLD),
        migrations.RunPython(keep_strays, migrations.RunPython.noop),
    ]
