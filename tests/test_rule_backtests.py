"""How often a rule of each kind would have fired, from what is stored."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import Author, audit
from budgets.models import Anomaly, AnomalyWatch, Budget, Threshold
from incidents.actions import raise_alert, resolve_alert
from incidents.models import Alert, AlertRule, Canary, CanaryRun, Slo
from incidents.queries.backtests import backtest
from incidents.queries.burning import BurnRates
from tests.alerting import make_rule
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now().astimezone(UTC).replace(minute=30, second=0, microsecond=0)


def unsaved(kind: str, **fields) -> AlertRule:
    return AlertRule(kind=kind, severity="warning", route="ticket", **fields)


# --- Burn rates -----------------------------------------------------------------------------------------------------
def make_slo(team, **fields) -> Slo:
    facts = {"name": "Answers", "team": team, "indicator": "success", "target": Decimal("0.9"), "min_events": 10}
    return Slo.objects.create(**facts | fields)


def burning(slo: Slo, long: int = 7200, short: int = 3600, threshold: str = "3", **fields) -> AlertRule:
    options = {"long_seconds": long, "short_seconds": short}
    facts = {"slo": slo, "team": slo.team, "threshold": Decimal(threshold), "window_seconds": long, "min_events": 10}
    return unsaved("burn_rate", options=options, **facts | fields)


def test_a_burn_rate_rule_fires_while_both_windows_burn(cast, now):
    slo = make_slo(cast.support)
    record(cast.support, now - 10 * DAY, 40, status="error", error_type="timeout")
    record(cast.support, now - 20 * DAY, 40)
    drain()
    result = backtest(burning(slo), [cast.support.pk], now)
    assert (result.times, result.step, result.days) == (1, "hour", 30)
    hour = (now - 10 * DAY).replace(minute=0)
    assert result.sets[0].spans[0].start == hour + HOUR
    assert result.sets[0].points[hour + HOUR] == 10
    assert result.counts_from == (now - 20 * DAY).replace(minute=0) + HOUR


def test_its_points_are_what_the_evaluation_read(cast, now):
    slo = make_slo(cast.support)
    at = now - 3 * HOUR
    record(cast.support, at, 30, status="error", error_type="timeout")
    record(cast.support, at + 40 * MINUTE, 30)
    drain()
    rule = burning(slo, 3600, 300)
    result = backtest(rule, [cast.support.pk], now)
    assert result.step == "5min"
    for minutes in (5, 35, 45, 60):
        moment = at + timedelta(minutes=minutes)
        (read,) = BurnRates([rule]).label_sets(rule, moment)
        assert result.sets[0].points[moment] == (read.reading.value if read.reading.events >= 10 else None)


def test_a_spend_is_looked_at_by_the_hour_and_says_so(cast, now):
    slo = make_slo(cast.support, indicator="spend", limit=Decimal(1), per="hour")
    result = backtest(burning(slo, 3600, 300), [cast.support.pk], now)
    assert (result.step, result.times) == ("hour", 0)
    assert "hour itself" in result.note


# --- Synthetic checks -----------------------------------------------------------------------------------------------
def make_check(team, now, outcomes: str, name: str = "Answer", start: timedelta = 5 * DAY) -> Canary:
    """A check with a run every five minutes from `start` ago: g(ood) or f(ailed)."""
    check = Canary.objects.create(team=team, name=name, url="https://a.example/", due_at=now + DAY, last_run_at=now)
    moments = [now - start + 5 * MINUTE * number for number in range(len(outcomes))]
    CanaryRun.objects.bulk_create(
        CanaryRun(canary=check, due_at=at, at=at, ok=letter == "g")
        for at, letter in zip(moments, outcomes, strict=True)
    )
    return check


def test_a_check_fires_at_its_second_failure_in_a_row_and_ends_when_it_was_well(cast, now):
    make_check(cast.support, now, "ggfgffggggggfffg")
    rule = unsaved("canary", threshold=Decimal(1), clear_seconds=300)
    result = backtest(rule, [cast.support.pk], now)
    first = now - 5 * DAY
    spans = [(span.start, span.end) for span in result.sets[0].spans]
    assert spans[0] == (first + 25 * MINUTE, first + 35 * MINUTE)
    assert (result.times, spans[1][0]) == (2, first + 65 * MINUTE)
    assert result.counts_from == first.replace(minute=0)


def test_only_the_chosen_check_and_only_those_of_the_team_count(cast, now):
    mine, other = make_check(cast.support, now, "ff"), make_check(cast.support, now, "fff", "Other")
    make_check(cast.search, now, "fff", "Strange")
    rule = unsaved("canary", team=cast.support, threshold=Decimal(1))
    assert {one.labels["check"] for one in backtest(rule, [cast.support.pk], now).sets} == {"Answer", "Other"}
    rule.options = {"check": other.pk}
    assert [one.labels["check"] for one in backtest(rule, [cast.support.pk], now).sets] == ["Other"]
    assert mine.pk != other.pk


@pytest.mark.parametrize(("edited", "times"), [(False, 1), (True, 0)], ids=["untouched", "edited"])
def test_an_edited_check_begins_counting_anew(cast, edited, times):
    now = timezone.now()
    check = make_check(cast.support, now, "f", start=HOUR)
    if edited:
        audit(**Author(label="test").signature, action="canary.edit", target=f"check {check.pk}: Answer", team=None)
    CanaryRun.objects.create(canary=check, due_at=now + HOUR, at=now + HOUR, ok=False)
    rule = unsaved("canary", threshold=Decimal(1))
    assert backtest(rule, [cast.support.pk], now + 2 * HOUR).times == times


def test_without_a_run_it_says_that_there_is_nothing_to_judge(cast, now):
    result = backtest(unsaved("canary", threshold=Decimal(1)), [cast.support.pk], now)
    assert (result.times, result.sets) == (0, [])
    assert "No run" in result.note


# --- Anomalies ------------------------------------------------------------------------------------------------------
def make_anomaly(team, start: datetime, hours: int | None, **fields) -> Anomaly:
    watch, _ = AnomalyWatch.objects.get_or_create(
        team=team, feature="chat", model="gpt-4o", defaults={"state": b"", "sealed_until": start, "evaluated_at": start}
    )
    facts = {"metric": "spend", "up": True, "value": 5, "expected": 1, "low": 0, "high": 2, "score": 3, "course": []}
    facts |= {"severity": "warning", "found_at": start, "ended_at": start + hours * HOUR if hours else None}
    return Anomaly.objects.create(watch=watch, team=team, started_at=start, **facts | fields)


def answering(source: str = "anomaly", **options) -> AlertRule:
    return unsaved("anomaly" if source == "anomaly" else "budget", options={"source": source} | options)


def test_an_anomaly_rule_answers_for_the_worst_of_a_slice_at_a_time(cast, now):
    start = (now - 4 * DAY).replace(minute=0)
    make_anomaly(cast.support, start, 10)
    make_anomaly(cast.support, start + 2 * HOUR, 3, metric="refusals")  # hidden by the spend
    make_anomaly(cast.support, start + 20 * HOUR, 2, severity="critical")
    make_anomaly(cast.support, start + 40 * HOUR, 2, is_withdrawn=True)
    make_anomaly(cast.support, start + 50 * HOUR, 2, up=False)
    teams = [cast.support.pk]
    result = backtest(answering(when="warning"), teams, now)
    assert [(span.start, span.end) for span in result.sets[0].spans] == [(start, start + 10 * HOUR)]
    assert backtest(answering(when="critical"), teams, now).times == 1
    assert backtest(answering(), teams, now).times == 2


def test_an_anomaly_that_runs_still_fires_until_somebody_decides(cast, now):
    one = make_anomaly(cast.support, now - DAY, None)
    (span,) = backtest(answering(), [cast.support.pk], now).sets[0].spans
    assert span.end is None
    Anomaly.objects.filter(pk=one.pk).update(decision="expected", decided_at=now - HOUR, reason="Launch")
    (span,) = backtest(answering(), [cast.support.pk], now).sets[0].spans
    assert span.end == now - HOUR


def test_an_anomaly_rule_answers_for_the_metric_and_slice_it_names(cast, now):
    make_anomaly(cast.support, now - DAY, 3)
    rule = answering()
    rule.metric = "refusals"
    assert backtest(rule, [cast.support.pk], now).times == 0
    rule.metric, rule.filters = "spend", {"feature": ["chat"]}
    assert backtest(rule, [cast.support.pk], now).times == 1
    rule.filters = {"feature": ["search"]}
    assert backtest(rule, [cast.support.pk], now).times == 0


def test_the_figure_behind_an_anomaly_is_drawn_by_the_hour(cast, now):
    start = (now - 2 * DAY).replace(minute=0)
    make_anomaly(cast.support, start, 3)
    record(cast.support, start + 5 * MINUTE, 3, feature="chat", model="gpt-4o", input_tokens=1000, output_tokens=10)
    drain()
    result = backtest(answering(), [cast.support.pk], now)
    assert result.drawn.unit == "USD"
    assert result.sets[0].points[start] > 0
    assert result.counts_from.date() == start.date()


def test_where_the_detector_has_not_looked_it_says_so(cast, now):
    assert "has not looked" in backtest(answering(), [cast.support.pk], now).note


# --- Budgets --------------------------------------------------------------------------------------------------------
def make_budget(team, limit: int, *percents: int, **fields) -> Budget:
    facts = {"name": f"Budget {limit}", "team": team, "period": "day", "unit": "requests", "limit": limit}
    budget = Budget.objects.create(**facts | fields)
    Threshold.objects.bulk_create(Threshold(budget=budget, percent=one, action="notify") for one in percents)
    return budget


def test_a_budget_rule_fires_from_the_hour_a_threshold_was_passed_to_the_end_of_the_period(cast, now):
    noon = (now - 3 * DAY).replace(hour=12, minute=0)
    record(cast.support, noon - HOUR, 8)
    record(cast.support, noon, 3)
    drain()
    make_budget(cast.support, 10, 70, 100)
    result = backtest(answering("budget", when="critical"), [cast.support.pk], now)
    (one,) = result.sets
    midnight = noon.replace(hour=0) + DAY
    assert [(span.start, span.end) for span in one.spans] == [(noon, midnight)]
    assert one.labels == {"budget": "Budget 10", "threshold": "at 100 %"}
    assert one.points[noon + HOUR] == Decimal("1.1")
    assert result.drawn.threshold == 1
    assert "as they are set now" in result.note
    assert backtest(answering("budget", when="info"), [cast.support.pk], now).times == 1


def test_each_period_of_a_budget_has_an_alert_of_its_own(cast, now):
    at = (now - 3 * DAY).replace(minute=5)
    record(cast.support, at, 5)
    record(cast.support, at + HOUR, 5)
    drain()
    make_budget(cast.support, 5, 100, period="hour")
    (one,) = backtest(answering("budget"), [cast.support.pk], now).sets
    hours = [at.replace(minute=0) + number * HOUR for number in range(3)]
    assert [(span.start, span.end) for span in one.spans] == [(hours[0], hours[1]), (hours[1], hours[2])]


def test_a_rule_for_one_budget_looks_at_no_other_and_no_other_teams(cast, now):
    record(cast.support, now - DAY, 20)
    record(cast.search, now - DAY, 20)
    drain()
    one = make_budget(cast.support, 10, 100)
    make_budget(cast.support, 11, 100)
    make_budget(cast.search, 10, 100, name="Not ours")
    assert backtest(answering("budget"), [cast.support.pk], now).times == 2
    assert backtest(answering("budget", budget=str(one.pk)), [cast.support.pk], now).times == 1


def test_a_budget_of_one_user_cannot_be_looked_at_and_says_so(cast, now):
    make_budget(cast.support, 10, 100, user_hash="u1")
    assert "single user" in backtest(answering("budget"), [cast.support.pk], now).note


def test_of_forecasts_only_the_alerts_are_kept(cast, now):
    facts = {"source_kind": "budget-forecast", "severity": "warning", "route": "ticket", "title": "38 % over"}
    raise_alert(source_key="1", team=cast.support, runbook="cost-spike#containment", at=now - DAY, **facts)
    resolve_alert(source_kind="budget-forecast", source_key="1", at=now - HOUR)
    result = backtest(answering("budget-forecast"), [cast.support.pk], now)
    assert result.times == 1
    assert "not kept" in result.note


# --- The desk itself ------------------------------------------------------------------------------------------------
def test_of_the_desk_itself_only_its_alerts_are_kept_and_it_says_so(cast, now):
    rule = make_rule(kind="desk", metric="rollup_lag", threshold="60")
    facts = {
        "source_kind": "rule",
        "severity": "critical",
        "route": "page",
        "title": "Late",
        "runbook": "desk#detection",
    }
    Alert.objects.create(rule=rule, source_key="1", started_at=now - DAY, last_raised_at=now, resolved_at=now, **facts)
    result = backtest(unsaved("desk", metric="rollup_lag", threshold=Decimal(30)), [], now)
    assert result.times == 1
    assert "not kept" in result.note
    assert backtest(unsaved("desk", metric="queue_age", threshold=Decimal(30)), [], now).times == 0


# --- Metrics --------------------------------------------------------------------------------------------------------
def test_a_young_desk_says_from_when_on_it_counts(cast, now):
    record(cast.support, now - 2 * DAY, 40, status="error", error_type="timeout")
    drain()
    rule = unsaved("threshold", metric="error_rate", threshold=Decimal("0.05"), window_seconds=3600)
    result = backtest(rule, [cast.support.pk], now)
    assert result.times == 1
    assert result.counts_from == (now - 2 * DAY).replace(minute=0) + HOUR
