"""Evaluation of alert rules on stored telemetry: what fires, for whom, once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from incidents.actions.desk import beat
from incidents.actions.evaluation import evaluate
from incidents.actions.slos import save_slo
from incidents.models import Alert, AlertRule, Delivery, RuleState, Slo
from tests.alerting import BOT, make_channel, make_rule
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def only_rules_of_the_test(db) -> None:
    AlertRule.objects.update(is_active=False)


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(second=40, microsecond=0) - timedelta(minutes=1)


def traffic(team, at: datetime, good: int, bad: int = 0, **fields) -> None:
    if good:
        record(team, at - timedelta(minutes=1), good, **fields)
    if bad:
        record(team, at - timedelta(minutes=1), bad, status="error", error_type="provider_5xx", **fields)
    drain()


def firing() -> dict[str, str]:
    """Team → title of the alerts that fire."""
    alerts = Alert.objects.filter(resolved_at=None, source_kind="rule").select_related("team")
    return {one.team.slug if one.team else "": one.title for one in alerts}


def test_a_rule_of_all_teams_fires_for_the_team_that_breaches_it(cast, now):
    make_rule(name="Error rate high", min_events=20)
    traffic(cast.support, now, 90, 10)
    traffic(cast.search, now, 100)
    evaluate(now)
    assert firing() == {"support": "Error rate high: 10 %"}


def test_a_rule_of_a_team_looks_at_that_team_only(cast, now):
    make_rule(team=cast.search, min_events=20)
    traffic(cast.support, now, 0, 50)
    evaluate(now)
    assert firing() == {}


def test_each_value_of_the_breakdown_has_an_alert_of_its_own(cast, now):
    make_rule(name="Provider", metric="call_error_rate", breakdown=["provider"], min_events=5)
    traffic(cast.support, now, 20, provider="openai")
    traffic(cast.support, now, 0, 20, provider="azure")
    traffic(cast.support, now, 0, 20, provider="anthropic")
    evaluate(now)
    labels = [alert.labels for alert in Alert.objects.order_by("labels__provider")]
    assert labels == [{"provider": "anthropic"}, {"provider": "azure"}]


def test_filters_leave_out_other_traffic(cast, now):
    make_rule(filters={"feature": ["answers"]}, min_events=5)
    traffic(cast.support, now, 0, 50, feature="drafts")
    evaluate(now)
    assert firing() == {}


def test_few_events_are_not_judged(cast, now):
    make_rule(min_events=20)
    traffic(cast.support, now, 0, 19)
    evaluate(now)
    assert firing() == {}


def test_it_waits_until_the_condition_has_held_and_says_since_when(cast, now):
    make_rule(for_seconds=60, min_events=5)
    traffic(cast.support, now, 0, 20)
    for number in range(2):
        evaluate(now + timedelta(seconds=30 * number))
    assert firing() == {}
    assert RuleState.objects.get().state == "pending"
    evaluate(now + timedelta(seconds=60))
    assert Alert.objects.get().started_at == now


def test_evaluating_again_and_again_keeps_one_alert(cast, now):
    make_rule(min_events=5)
    traffic(cast.support, now, 0, 20)
    for _ in range(3):
        evaluate(now)
    assert Alert.objects.count() == 1


def test_it_resolves_when_the_traffic_is_well_again(cast, now):
    make_rule(min_events=5, clear_seconds=60)
    traffic(cast.support, now, 0, 20)
    evaluate(now)
    for number in range(4):
        evaluate(now + timedelta(minutes=10, seconds=30 * number))
    assert Alert.objects.get().resolved_at is not None
    assert firing() == {}


def test_late_events_of_the_window_fire_it_too(cast, now):
    make_rule(metric="cost_usd", threshold="0.05", window_seconds=3600)
    traffic(cast.support, now, 5)
    evaluate(now)
    assert firing() == {}
    record(cast.support, now - timedelta(minutes=50), 100)
    drain()
    evaluate(now)
    assert list(firing()) == ["support"]


def test_a_team_with_a_rule_of_its_own_is_left_out_of_the_general_one(cast, now):
    general = make_rule(min_events=5)
    make_rule(team=cast.support, threshold="0.5", options={"instead_of": general.slug}, min_events=5)
    traffic(cast.support, now, 80, 20)
    traffic(cast.search, now, 80, 20)
    evaluate(now)
    assert list(firing()) == ["search"]


def test_a_rule_that_is_switched_off_resolves_its_alerts(cast, now):
    rule = make_rule(min_events=5)
    traffic(cast.support, now, 0, 20)
    evaluate(now)
    AlertRule.objects.filter(pk=rule.pk).update(is_active=False)
    evaluate(now)
    assert firing() == {}


# --- Kinds ------------------------------------------------------------------------------------------------------
def test_a_ratio_to_the_same_hours_of_earlier_weeks(cast, now):
    make_rule(kind="baseline", metric="total_tokens", threshold="2", window_seconds=3600, name="Tokens")
    for weeks in (1, 2):
        traffic(cast.support, now - timedelta(weeks=weeks), 30)
    traffic(cast.support, now, 30)
    evaluate(now)
    assert firing() == {}
    traffic(cast.support, now, 200)
    evaluate(now)
    assert firing()["support"].startswith("Tokens: ")


def test_without_earlier_weeks_it_is_compared_with_yesterday(cast, now):
    make_rule(kind="baseline", metric="error_rate", threshold="2", window_seconds=3600, options={"floor": 0.01})
    traffic(cast.support, now - timedelta(days=1), 95, 5)
    traffic(cast.support, now, 80, 20)
    evaluate(now)
    assert Alert.objects.get().title.endswith(": 4 ×")


def test_without_any_history_a_ratio_is_not_judged(cast, now):
    make_rule(kind="baseline", metric="total_tokens", threshold="2")
    traffic(cast.support, now, 200)
    evaluate(now)
    assert firing() == {}


def test_silence_where_there_usually_is_traffic_fires(cast, now):
    make_rule(kind="no_data", metric="", threshold=None, window_seconds=600, min_events=5)
    for team in (cast.support, cast.search):
        record(team, now - timedelta(weeks=1, minutes=2), 100)
    traffic(cast.search, now, 3)
    evaluate(now)
    assert list(firing()) == ["support"]


def slo(team, **fields) -> Slo:
    """An SLO of 99 % with its burn rate rules."""
    facts = {"name": "Answers", "indicator": "success", "target": Decimal("0.99"), "min_events": 50}
    return save_slo(author=BOT, slo=Slo(), values=facts | {"team": team} | fields)


def test_a_burning_error_budget_fires_for_its_slo(cast, now):
    for team in (cast.support, cast.search):
        slo(team)
    traffic(cast.support, now, 60, 40)
    traffic(cast.search, now, 100)
    evaluate(now)
    assert firing()["support"].startswith("Answers: ")
    assert "search" not in firing()
    assert Alert.objects.filter(team=cast.support, route="page").count() == 2


def test_few_events_burn_no_budget(cast, now):
    slo(cast.support)
    traffic(cast.support, now, 0, 10)
    evaluate(now)
    assert "support" not in firing()


def test_a_queue_that_is_not_worked_off_fires(db, now):
    make_rule(kind="desk", metric="queue_age", threshold="120", name="Queue")
    beat("realtime", now - timedelta(minutes=5))
    beat("batch", now - timedelta(seconds=20))
    evaluate(now)
    assert firing() == {"": "Queue: 5 min (realtime)"}


def test_rollups_that_lag_fire(cast, now):
    make_rule(kind="desk", metric="rollup_lag", threshold="60")
    record(cast.support, now)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_rollup_mark SET created_at = created_at - interval '5 minutes'")
    evaluate(now)
    assert list(firing()) == [""]


# --- Bad days ---------------------------------------------------------------------------------------------------
def test_a_rule_whose_query_fails_is_marked_tells_of_itself_and_stops_no_other(cast, now):
    bad = make_rule(metric="no_such_metric")
    make_rule(min_events=5)
    traffic(cast.support, now, 0, 20)
    assert evaluate(now).failed == 1
    bad.refresh_from_db()
    assert bad.failed_at == now
    assert "no_such_metric" in bad.failure
    assert list(firing()) == ["support"]
    assert Alert.objects.get(source_kind="rule_failure").title.startswith("Rule cannot be evaluated")


def test_a_rule_that_is_mended_is_unmarked(cast, now):
    bad = make_rule(breakdown=["no_such_dimension"])
    evaluate(now)
    AlertRule.objects.filter(pk=bad.pk).update(breakdown=[])
    evaluate(now)
    bad.refresh_from_db()
    assert (bad.failed_at, bad.failure) == (None, "")
    assert not Alert.objects.filter(source_kind="rule_failure", resolved_at=None).exists()


def test_a_clock_that_jumps_back_loses_and_doubles_no_alert(cast):
    at = datetime.now(UTC)
    make_rule(min_events=5, clear_seconds=60)
    traffic(cast.support, at, 0, 20)
    for moment in (at, at - timedelta(hours=3), at):
        evaluate(moment)
    assert Alert.objects.filter(resolved_at=None).count() == 1


def test_people_are_told_by_the_outbox_in_the_transaction_that_begins_the_alert(cast, now):
    make_channel(cast.support)
    make_rule(min_events=5, clear_seconds=0)
    traffic(cast.support, now, 0, 20)
    for _ in range(2):
        evaluate(now)
    assert [one.kind for one in Delivery.objects.all()] == ["alert"]
    evaluate(now + timedelta(minutes=20))
    assert sorted(one.kind for one in Delivery.objects.all()) == ["alert", "resolved"]
