"""The metric query against the events themselves: any window, step, breakdown, filter and zone, at any stage of drain.

The expected figures are added up here in plain Python from the raw events, with the calendar of zoneinfo; only events
whose minutes are rolled up count, for a figure is never newer than the minute roll-ups.
"""

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cast import make_team
from tests.traffic import event, record
from usage import partitions
from usage.actions import record_events
from usage.measures import MODEL_OPERATIONS
from usage.metrics import MetricQuery, QueryError, catalogue, query
from usage.models import RollupMark
from usage.rollups import drain, drain_tier

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Two that change their clocks in autumn; half an hour off; half an hour off with summer time of half an hour; 45 min.
WHOLE_HOUR_ZONES = ("UTC", "Europe/Berlin", "America/New_York")
ZONES = (*WHOLE_HOUR_ZONES, "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu")
METRICS = (
    "requests",
    "calls",
    "errors",
    "input_tokens",
    "cost_usd",
    "unpriced_calls",
    "cost_per_request",
    "tokens_per_call",
    "latency_p50",
    "call_latency_p95",
    "conversations",
    "cost_per_conversation",
    "escalation_rate",
)
WIDE = ("team", "environment", "feature", "model", "provider", "operation", "release", "status", "region")
NARROW = ("team", "environment", "feature", "model", "provider", "operation", "status", "tenant")
FIXED = {"minute": 60, "5min": 300, "15min": 900, "hour": 3600, "6hour": 21_600}


def random_event(rng: Random, at: datetime) -> dict:
    tenant = rng.choice(("acme", "globex", None))
    return event(
        at,
        environment=rng.choice(("prod", "dev")),
        feature=rng.choice(("answers", "search", None)),
        model=rng.choice(("gpt-4o", "gpt-4o-mini", "our-own-llm")),
        operation=rng.choice(("chat", "chat", "embeddings", "retrieval")),
        release=rng.choice(("1.0", "1.1", None)),
        region=rng.choice(("eu", None)),
        tenant=tenant,
        status=rng.choice(("success", "success", "error")),
        parent_span_id=rng.choice((None, "p")),
        input_tokens=rng.randint(0, 5_000),
        cached_input_tokens=None,
        latency_ms=int(rng.lognormvariate(6, 1.5)),
        conversation_id=rng.choice((None, *(f"{tenant}-{number}" for number in range(60)))),
        escalated=rng.choice((None, None, True, False)),
    )


def send(rng: Random, teams, ages: list[float]) -> list[dict]:
    """Record one random event per age (hours before now), half to each team; returns what was sent."""
    now = timezone.now()
    events = [random_event(rng, now - timedelta(hours=age)) for age in ages]
    for team, part in zip(teams, (events[::2], events[1::2]), strict=True):
        outcome = record_events(team=team, environment="", api_key_id=None, events=part)
        assert outcome.accepted == len(part)
    return events


@pytest.fixture
def stored(db):
    """(teams, rows): two teams' events as stored, with days and hours fresh, days stale, days and hours stale, and
    some events whose minutes are not rolled up, left out of `rows`."""
    partitions.ensure(timezone.now())
    rng, teams = Random(7), (make_team("one"), make_team("two"))
    recent = [rng.uniform(0.02, 13 * 24) for _ in range(500)] + [rng.uniform(0.02, 5) for _ in range(200)]
    old = [rng.uniform(14.5 * 24, 33 * 24) for _ in range(300)]
    send(rng, teams, recent + old)
    drain()
    send(rng, teams, [rng.uniform(0.02, 13 * 24) for _ in range(40)] + old[:20])
    drain_tier(RollupMark.MINUTE), drain_tier(RollupMark.HOUR)
    send(rng, teams, [rng.uniform(0.02, 13 * 24) for _ in range(40)])
    drain_tier(RollupMark.MINUTE)
    rows = read_rows()
    send(rng, teams, [rng.uniform(0.02, 48) for _ in range(20)])
    return teams, rows


def read_rows() -> list[dict]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.occurred_at, e.latency_ms, e.input_tokens, e.output_tokens, e.cost_usd, e.cost_state,"
            " coalesce(e.tenant, '') AS tenant, e.conversation_id, e.escalated,"
            " s.entry, t.slug AS team, s.environment, s.feature, s.model, s.provider,"
            " s.operation, s.release, s.region, s.status FROM usage_event e"
            " JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id"
            " JOIN accounts_team t ON t.id = e.team_id"
        )
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


# --- The figures, added up by hand --------------------------------------------------------------------------------
def figures(rows: list[dict]) -> dict[str, object]:
    requests = [row for row in rows if row["entry"]]
    calls = [row for row in rows if row["operation"] in MODEL_OPERATIONS]
    priced = [row["cost_usd"] for row in rows if row["cost_state"] == 1]
    unknown = [row for row in rows if row["cost_state"] in (2, 3)]
    cost = None if unknown and not priced else sum(priced, Decimal(0))
    tokens = sum((row["input_tokens"] or 0) + (row["output_tokens"] or 0) for row in rows)
    named = [row for row in rows if row["conversation_id"]]
    conversations = len({(row["team"], row["conversation_id"]) for row in named})
    named_cost = sum((row["cost_usd"] for row in named if row["cost_state"] == 1), Decimal(0))
    nobody_knows = not any(row["cost_state"] == 1 for row in named) and any(
        row["cost_state"] in (2, 3) for row in named
    )
    told = [row["escalated"] for row in rows if row["escalated"] is not None]
    return {
        "conversations": conversations,
        "cost_per_conversation": named_cost / conversations if conversations and not nobody_knows else None,
        "escalation_rate": Decimal(sum(told)) / len(told) if told else None,
        "requests": len(requests),
        "calls": len(calls),
        "errors": len([row for row in requests if row["status"] == "error"]),
        "input_tokens": sum(row["input_tokens"] or 0 for row in rows),
        "cost_usd": cost,
        "unpriced_calls": len([row for row in rows if row["cost_state"] == 2]),
        "cost_per_request": cost / len(requests) if requests and cost is not None else None,
        "tokens_per_call": Decimal(tokens) / len(calls) if calls else None,
        "latency_p50": nearest_rank([row["latency_ms"] for row in requests], 0.5),
        "call_latency_p95": nearest_rank([row["latency_ms"] for row in calls], 0.95),
    }


def nearest_rank(values: list[int], q: float) -> float | None:
    return max(sorted(values)[max(math.ceil(q * len(values)), 1) - 1], 1) if values else None


def label(at: datetime, step: str | None, zone: ZoneInfo) -> object:
    """Which step a moment is in: a name that two moments share exactly when they are in the same one."""
    local = at.astimezone(zone)
    if step in FIXED:
        return int((at - datetime(2001, 1, 1, tzinfo=UTC)).total_seconds()) // FIXED[step]
    return {
        None: lambda: None,
        "day": lambda: local.date(),
        "week": lambda: local.isocalendar()[:2],
        "month": lambda: (local.year, local.month),
    }[step]()


def expected(q: MetricQuery, rows: list[dict], start: datetime, end: datetime) -> dict:
    groups = defaultdict(list)
    for row in rows:
        kept = not q.by_tenant or row["tenant"] or "" in q.filters.get("tenant", ())
        inside = kept and start <= row["occurred_at"] < end
        if inside and all(row[name] in values for name, values in q.filters.items()):
            key = tuple(row[name] for name in q.group_by)
            groups[key, label(row["occurred_at"], q.step, q.zone)].append(row)
    return {key: figures(part) for key, part in groups.items()}


def assert_same(q: MetricQuery, rows: list[dict]) -> None:
    result = query(q)
    want = expected(q, rows, result.start, result.end)
    got = {(row.key, row.at and label(row.at, q.step, q.zone)): row.values for row in result.rows}
    if not (q.group_by or q.step):
        want = want or {((), None): figures([])}
    assert got.keys() == want.keys()
    for key, values in want.items():
        for metric in q.metrics:
            compare(metric, got[key][metric], values[metric])


def compare(metric: str, got, want) -> None:
    if want is None or not ("latency" in metric or "per_" in metric or "_rate" in metric):
        assert got == want, metric
    else:
        assert float(got) == pytest.approx(float(want), rel=0.02 if "latency" in metric else 1e-20), metric


# --- Properties ---------------------------------------------------------------------------------------------------
@st.composite
def queries(draw, wide=WIDE, oldest_hours=13 * 24 - 1, zones=ZONES, steps=(None, *FIXED, "day", "week", "month")):
    now = timezone.now()
    first = draw(st.floats(0.1, oldest_hours))
    step = draw(st.sampled_from(steps))
    if step in FIXED:
        first = min(first, FIXED[step] / 3600 * 1_900)
    last = draw(st.floats(-0.05, first - 0.02))
    if step in ("week", "month"):  # they reach beyond the minutes, where half hours are not kept
        zones = WHOLE_HOUR_ZONES
    pick = {
        "environment": ("prod", "dev"),
        "feature": ("answers", "search", ""),
        "model": ("gpt-4o", "gpt-4o-mini", "our-own-llm"),
        "status": ("success", "error"),
        "tenant": ("acme", "globex", ""),
        "release": ("1.0", "1.1", ""),
    }
    names = draw(st.lists(st.sampled_from([name for name in pick if name in wide]), unique=True, max_size=2))
    return MetricQuery(
        metrics=METRICS,
        start=now - timedelta(hours=first),
        end=now - timedelta(hours=last),
        step=step,
        group_by=tuple(draw(st.lists(st.sampled_from(wide), unique=True, max_size=2))),
        filters={name: tuple(draw(st.sets(st.sampled_from(pick[name]), min_size=1))) for name in names},
        zone=ZoneInfo(draw(st.sampled_from(zones))),
    )


in_one_transaction = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("wide", [WIDE, NARROW], ids=["wide", "narrow"])
def test_it_equals_the_sum_of_the_events(stored, wide):
    @in_one_transaction
    @given(queries(wide))
    def check(q):
        assert_same(q, stored[1])

    check()


def test_it_equals_the_sum_of_the_events_beyond_the_minute_rollups(stored):
    @in_one_transaction
    @given(queries(oldest_hours=32 * 24, zones=WHOLE_HOUR_ZONES, steps=(None, "hour", "6hour", "day", "week")))
    def check(q):
        assert_same(q, stored[1])

    check()


def test_the_answered_window_holds_the_asked_one(stored):
    @in_one_transaction
    @given(queries(oldest_hours=32 * 24, steps=(None, "day", "week", "month")))
    def check(q):
        result = query(q)
        assert result.start <= q.start and result.end >= q.end
        assert {row.at for row in result.rows} <= set(result.buckets) | {None}
        if not q.step:
            assert q.start - result.start <= HOUR and result.end - q.end <= HOUR

    check()


def test_a_team_reads_only_its_own(stored):
    (one, two), rows = stored
    now = timezone.now()
    of_one = query(MetricQuery(("events",), now - 34 * DAY, now, team_ids=(one.pk,))).value("events")
    both = query(MetricQuery(("events",), now - 34 * DAY, now, team_ids=(one.pk, two.pk))).value("events")
    assert of_one == len([row for row in rows if row["team"] == "one"])
    assert both == len(rows)
    assert query(MetricQuery(("events",), now - DAY, now, team_ids=())).rows == []


def test_draining_changes_no_figure_that_was_already_in_minutes(stored):
    now = timezone.now()
    recent = [MetricQuery(METRICS, now - 13 * DAY, now, step, ("model",)) for step in (None, "hour", "day")]
    with connection.cursor() as cursor:  # the events still waiting are not the question here
        cursor.execute("DELETE FROM usage_rollup_mark WHERE tier = 0")
    before = [query(q, now).rows for q in recent]
    drain()
    assert [query(q, now).rows for q in recent] == before


# --- Single cases -------------------------------------------------------------------------------------------------
@pytest.fixture
def team(db):
    partitions.ensure(timezone.now())
    return make_team()


def ask(team, *metrics, hours=1.0, now=None, **options) -> MetricQuery:
    now = now or timezone.now()
    return MetricQuery(metrics, now - timedelta(hours=hours), now, team_ids=(team.pk,), **options)


def test_a_cost_nobody_knows_is_none_and_a_cost_of_nothing_is_zero(team):
    record(team, timezone.now() - timedelta(minutes=5), 3, model="our-own-llm")
    drain()
    result = query(ask(team, "cost_usd", "cost_per_request", "unpriced_calls", group_by=("model",)))
    assert result.rows[0].values == {"cost_usd": None, "cost_per_request": None, "unpriced_calls": 3}
    assert query(ask(team, "cost_usd")).value("cost_usd") is None
    assert query(ask(team, "cost_usd", filters={"model": ("gpt-4o",)})).value("cost_usd") == 0


def test_a_known_cost_beside_an_unknown_one_is_the_known_part(team):
    at = timezone.now() - timedelta(minutes=5)
    record(team, at, 2), record(team, at, model="our-own-llm")
    drain()
    result = query(ask(team, "cost_usd", "unpriced_calls"))
    assert result.value("cost_usd") > 0 and result.value("unpriced_calls") == 1


def test_rates_of_the_current_bucket_are_by_the_time_passed(team):
    now = timezone.now().replace(minute=30, second=0, microsecond=0) - HOUR
    record(team, now - timedelta(minutes=10), 60)
    drain()
    this_hour = query(ask(team, "requests_per_minute", hours=0.25, now=now, step="hour"), now)
    assert this_hour.rows[0].values["requests_per_minute"] == 2  # 60 in the 30 minutes so far
    later = query(ask(team, "requests_per_minute", hours=0.25, now=now, step="hour"), now + HOUR)
    assert later.rows[0].values["requests_per_minute"] == 1


def test_a_window_without_steps_has_one_row_and_points_have_gaps(team):
    assert query(ask(team, "requests", "error_rate")).rows[0].values == {"requests": 0, "error_rate": None}
    hourly = query(ask(team, "requests", "error_rate", hours=3, step="hour"))
    assert len(hourly.points("requests")) == 4 and {value for _, value in hourly.points("requests")} == {0}
    assert {value for _, value in hourly.points("error_rate")} == {None}


def test_untagged_values_are_a_group_of_their_own(team):
    record(team, timezone.now() - timedelta(minutes=5), feature=None)
    drain()
    q = ask(team, "requests", group_by=("feature",), filters={"feature": ("",)})
    assert [(row.key, row.values["requests"]) for row in query(q).rows] == [(("",), 1)]


def test_days_before_the_hours_are_kept_are_those_of_utc(team):
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO usage_series SELECT %s, 1, gen_random_uuid(), 1, true, '', '', '', '', 'chat', '', '', '', '',"
            " '', '', '', '', '', '', 'success', '', '', now()",
            [team.pk],
        )
        day = (now - 500 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        cursor.execute(
            "INSERT INTO usage_day (team_id, bucket, series_id, events) VALUES (%s, %s, 1, 9)", [team.pk, day]
        )
    result = query(ask(team, "requests", hours=505 * 24, step="day", zone=ZoneInfo("America/New_York")))
    assert [(row.at, row.values["requests"]) for row in result.rows] == [(day, 9)]
    assert result.query.zone.key == "UTC"


def test_old_days_of_a_half_hour_zone_begin_at_the_next_whole_hour(team):
    zone = ZoneInfo("Asia/Kolkata")
    midnight = (timezone.now() - 20 * DAY).replace(hour=18, minute=30, second=0, microsecond=0)
    for minutes in (-10, 10, 40):  # before midnight; in the hour midnight falls in; after it
        record(team, midnight + timedelta(minutes=minutes))
    drain()
    q = MetricQuery(("requests",), midnight, midnight + timedelta(hours=2), "day", team_ids=(team.pk,), zone=zone)
    assert query(q).value("requests", at=midnight) == 1
    before = query(MetricQuery(("requests",), midnight - HOUR, midnight, "day", team_ids=(team.pk,), zone=zone))
    assert before.value("requests", at=midnight - DAY) == 2


# --- Refusals -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"metrics": ("profit",)}, "metric", "Known metrics"),
        ({"group_by": ("colour",)}, "group_by", "Known"),
        ({"filters": {"colour": ("red",)}}, "filters", "Known"),
        ({"group_by": ("tenant", "release")}, "group_by", "Combine tenant with"),
        ({"step": "fortnight"}, "step", "Known"),
        ({"step": "minute"}, "step", "wider step"),
        ({"end": datetime(2026, 1, 1, tzinfo=UTC)}, "end", "after its start"),
        ({"start": datetime(2026, 2, 1)}, "start", "zone"),
    ],
)
def test_a_query_that_cannot_be_answered_names_field_and_fix(change, field, word):
    whole = {
        "metrics": ("requests",),
        "start": datetime(2026, 2, 1, tzinfo=UTC),
        "end": datetime(2026, 2, 9, tzinfo=UTC),
    }
    with pytest.raises(QueryError) as refused:
        MetricQuery(**whole | change)
    assert refused.value.field == field and word in str(refused.value)


def test_a_step_finer_than_what_is_kept_is_refused(team):
    with pytest.raises(QueryError, match="Use hour"):
        query(ask(team, "requests", hours=24 * 15, step="15min"))
    with pytest.raises(QueryError, match="Use day"):
        query(MetricQuery(("requests",), timezone.now() - 410 * DAY, timezone.now() - 390 * DAY, "hour"))


def test_no_two_metrics_have_the_same_name():
    assert len(catalogue.CATALOGUE) == len(catalogue.METRICS)
