"""SLOs over events recorded through the real ingest: every indicator counted as it says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.models import Slo
from incidents.queries.slos import attainment, burn, burns, tallies, tallies_by, visible_slos
from incidents.rules.slos import NOTHING, WINDOWS, Tally
from tests.cast import make_team
from tests.traffic import record
from usage.metrics import MetricQuery, QueryError
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hours_ago(hours: float) -> datetime:
    return timezone.now() - timedelta(hours=hours)


def make(team=None, indicator="success", target="0.99", name="Objective", **facts) -> Slo:
    return Slo.objects.create(team=team, name=name, indicator=indicator, target=Decimal(target), **facts)


def counted(slo: Slo, hours: float = 1) -> Tally:
    drain()
    now = timezone.now()
    return tallies([slo], now - timedelta(hours=hours), now)[slo.pk]


def test_success_counts_answered_and_failed_and_neither_blocked_nor_cancelled(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 5)
    record(cast.support, at, 2, status="fallback")
    record(cast.support, at, 3, status="error", error_type="timeout")
    record(cast.support, at, 4, status="blocked")
    record(cast.support, at, 1, status="cancelled")
    assert counted(make(cast.support)) == Tally(7, 3, 10)


def test_a_slice_by_model_counts_model_calls(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 4, parent_span_id="p", span_id="s")
    record(cast.support, at, 1, parent_span_id="p", span_id="s", status="error")
    record(cast.support, at, 2, parent_span_id="p", span_id="s", status="blocked")
    assert counted(make(cast.support)) == NOTHING
    assert counted(make(cast.support, model="gpt-4o")) == Tally(4, 1, 5)


def test_what_is_excluded_does_not_count(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 5)
    record(cast.support, at, 2, status="error", error_type="content_policy")
    record(cast.support, at, 3, status="error", environment="dev")
    slo = make(cast.support, exclusions={"environment": ["dev", "test"], "error_type": ["content_policy"]})
    assert counted(slo) == Tally(5, 0, 5)


def test_latency_counts_answers_within_the_limit(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 6, latency_ms=800)
    record(cast.support, at, 2, latency_ms=2500)
    record(cast.support, at, 3, latency_ms=10, status="error")
    record(cast.support, at, 1, latency_ms=None)
    assert counted(make(cast.support, "latency", limit=2000)) == Tally(6, 2, 8)


def test_quality_counts_the_checks_that_are_named(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 3, refused=False, policy_hit=False, schema_valid=True)
    record(cast.support, at, 1, refused=True, policy_hit=True, schema_valid=False)
    record(cast.support, at, 5)
    assert counted(make(cast.support, "quality")) == Tally(9, 3, 12)
    assert counted(make(cast.support, "quality", checks=["policy"])) == Tally(3, 1, 4)
    assert counted(make(cast.support, "quality", checks=["schema"])) == Tally(3, 1, 4)


def test_spend_counts_hours_with_traffic_of_known_cost(cast):
    whole = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    record(cast.support, whole - 9 * HOUR, 1)
    record(cast.support, whole - 10 * HOUR, 100)
    record(cast.support, whole - 11 * HOUR, 1, model="own-model", provider="vllm")
    drain()
    cost = Decimal("0.00325")  # of one call: 800 + 200 cached + 100 tokens of gpt-4o
    slo = make(cast.support, "spend", per="hour", limit=cost * 2)
    assert tallies([slo], whole - DAY, whole)[slo.pk] == Tally(1, 1, 101)
    assert sum(day.total for day in tallies_by(slo, whole - DAY, whole, "day").values()) == 2


def test_hours_judged_together_are_the_hours_one_by_one(cast):
    whole = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for number, team in enumerate((cast.support, cast.search, cast.support, cast.search, cast.support)):
        record(team, whole - (7 + number) * HOUR, 1 + 3 * number, tenant="acme" if number % 2 else None)
        record(team, whole - (7 + number) * HOUR, 1 + number, model="own-model", provider="vllm")
    drain()
    cost = Decimal("0.00325")
    slos = [
        make(team, "spend", per=per, limit=cost * Decimal(times), **facts)
        for team in (cast.support, cast.search, None)
        for per, times in (("hour", 4), ("hour", 8), ("request", "0.9"), ("request", "0.3"))
        for facts in ({}, {"model": "gpt-4o"}, {"tenant": "acme"}, {"exclusions": {"model": ["own-model"]}})
    ]
    together = tallies(slos, whole - DAY, whole)
    apart = {slo.pk: sum(tallies_by(slo, whole - DAY, whole, "hour").values(), NOTHING) for slo in slos}
    assert together == apart
    assert len(set(together.values())) > 5


def test_spend_by_conversation_is_judged_by_the_hour_too(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 4, conversation_id="one")
    drain()
    dear, cheap = (make(cast.support, "spend", per="conversation", limit=Decimal(limit)) for limit in ("0.001", "1"))
    found = burns([dear, cheap], [3600, 300], timezone.now())
    assert found[dear.pk][3600] == (1, 100, 4)
    assert found[cheap.pk][3600] == (0, 0, 4)
    assert found[cheap.pk][300] == (None, None, 0)


def test_a_slice_by_tenant_counts_that_tenant(cast):
    at = hours_ago(0.2)
    record(cast.support, at, 4, tenant="acme")
    record(cast.support, at, 1, tenant="acme", status="error", latency_ms=9000)
    record(cast.support, at, 7, tenant="globex", status="error")
    assert counted(make(cast.support, tenant="acme")) == Tally(4, 1, 5)
    assert counted(make(cast.support, "latency", tenant="acme", limit=2000)) == Tally(4, 0, 4)


def test_an_organisations_slo_counts_every_team(cast):
    for team in (cast.support, cast.search):
        record(team, hours_ago(0.2), 3)
    assert counted(make()) == Tally(6, 0, 6)
    assert counted(make(cast.search)) == Tally(3, 0, 3)


def test_burn_is_by_window_and_by_the_target(cast):
    record(cast.support, hours_ago(0.02), 9)
    record(cast.support, hours_ago(0.02), 1, status="error")
    record(cast.support, hours_ago(3), 90)
    drain()
    found = burn(make(cast.support, target="0.9"), [300, 21600], timezone.now())
    assert found == {300: (Decimal("0.1"), 1, 10), 21600: (Decimal("0.01"), Decimal("0.1"), 100)}


def test_attainment_is_over_the_slos_own_window(cast):
    record(cast.support, hours_ago(0.5), 99)
    record(cast.support, hours_ago(24 * 10), 1, status="error")
    drain()
    slos = [make(cast.support, window_days=30), make(cast.support, window_days=7), make(cast.search)]
    month, week, none = attainment(slos, timezone.now())
    assert (month.attained, month.left, month.word) == (Decimal("0.99"), 0, "Little left")
    assert (week.attained, week.left, week.word) == (1, 1, "On target")
    assert (none.attained, none.left, none.word) == (None, None, "No requests")


def test_by_day_adds_up_to_the_whole_in_any_zone(cast):
    now = timezone.now()
    for hours in (1, 20, 40, 60):
        record(cast.support, hours_ago(hours), 3)
        record(cast.support, hours_ago(hours), 1, status="error", latency_ms=9000)
    drain()
    for slo in (make(cast.support), make(cast.support, "latency", limit=2000)):
        parts = tallies_by(slo, now - 4 * DAY, now, "day", ZoneInfo("Asia/Kolkata"))
        assert sum(tally.total for tally in parts.values()) == tallies([slo], now - 4 * DAY, now)[slo.pk].total
        assert len(parts) >= 3


def test_two_hundred_slos_cost_as_many_queries_as_one(cast):
    teams = [make_team(f"team-{number}") for number in range(20)]
    slos = [make(team, indicator, limit=2000) for team in teams for indicator in ("success", "latency")]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        burns(slos, WINDOWS, timezone.now())
    with CaptureQueriesContext(connection) as few:
        burns(slos[:2], WINDOWS, timezone.now())
    assert len(queries) == len(few)


def test_people_see_the_slos_of_their_teams(cast):
    make(cast.support, name="ours")
    make(cast.search, name="theirs")
    make(None, name="all")
    assert [slo.name for slo in visible_slos(cast.vera)] == ["ours"]
    assert {slo.name for slo in visible_slos(cast.emil).filter(shipped_as="")} == {"all", "ours", "theirs"}
    assert not visible_slos(cast.newcomer)


def test_a_tenant_cannot_be_left_out_of_a_query():
    with pytest.raises(QueryError, match="cannot be left out"):
        MetricQuery(("requests",), hours_ago(2), hours_ago(1), excluded={"tenant": ("acme",)})
