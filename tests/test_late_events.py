"""Events that come after their windows had passed: judged again, told once and as over, never a storm."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from incidents.actions.evaluation import evaluate
from incidents.actions.late import MOST, evaluate_late
from incidents.models import Alert, AlertRule, Delivery, Escalation, Incident, Silence
from tests.alerting import make_channel, make_rule
from tests.traffic import record
from usage.models import LateMinute
from usage.rollups import drain

pytestmark = pytest.mark.django_db
FAILED = {"status": "error", "error_type": "provider_5xx", "http_status": 503}
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def rule(cast):
    """Watches team support since long; nothing else is evaluated."""
    AlertRule.objects.update(is_active=False)
    return aged(make_rule(team=cast.support, window_seconds=300, min_events=5, clear_seconds=60))


def aged(rule):
    type(rule).objects.filter(pk=rule.pk).update(created_at=timezone.now() - timedelta(days=60))
    rule.refresh_from_db()
    return rule


def send_late(team, now: datetime, ago: int, length: int = 10, **fields) -> None:
    """Failed requests of `length` minutes, the first `ago` minutes ago, which come now; good ones round them."""
    for back in range(ago + 15, ago - length - 15, -1):
        if back > 3:
            bad = ago - length < back <= ago
            record(team, now - back * MINUTE, 10, **((FAILED if bad else {}) | fields))
    drain(now)


def look(now: datetime):
    return evaluate_late(now + MINUTE)


def test_what_comes_twenty_minutes_late_becomes_an_alert_that_is_over(cast, rule, now):
    channel = make_channel(cast.support)
    send_late(cast.support, now, ago=40)
    assert evaluate(now).begun == 0
    assert look(now).begun == 1
    (alert,) = Alert.objects.all()
    assert alert.title == f"Already over: {rule.name}: 100 %"
    assert (alert.route, alert.severity, alert.learnt_at) == ("ticket", "critical", now + MINUTE)
    assert now - 50 * MINUTE <= alert.started_at <= now - 30 * MINUTE
    assert now - 30 * MINUTE <= alert.resolved_at <= now - 10 * MINUTE
    assert "its events came late" in alert.detail
    (delivery,) = Delivery.objects.filter(channel=channel)
    assert (delivery.route, delivery.title) == ("ticket", alert.title)
    assert not Escalation.objects.exists() and not Incident.objects.exists()


def test_it_is_told_once_however_often_it_is_looked_at_and_sent_again(cast, rule, now):
    make_channel(cast.support)
    send_late(cast.support, now, ago=40)
    assert look(now).begun == 1
    assert look(now) == type(look(now))(0, 0, 0) and not LateMinute.objects.exists()
    record(cast.support, now - 35 * MINUTE, 10, **FAILED)
    drain(now)
    assert look(now).begun == 0
    assert (Alert.objects.count(), Delivery.objects.count()) == (1, 1)


def test_what_is_learnt_bit_by_bit_makes_one_alert_longer(cast, rule, now):
    send_late(cast.support, now, ago=120, length=10)
    look(now)
    before = Alert.objects.get().resolved_at
    for back in range(110, 95, -1):
        record(cast.support, now - back * MINUTE, 90, **FAILED)
    drain(now)
    look(now)
    assert Alert.objects.get().resolved_at > before + 5 * MINUTE


def test_a_window_that_fired_in_time_does_not_fire_again(cast, rule, now):
    past = now - 60 * MINUTE
    for back in range(8):
        record(cast.support, past - back * MINUTE, 10, **FAILED)
    drain(past)
    evaluate(past)
    assert Alert.objects.get().learnt_at is None
    evaluate(past + timedelta(minutes=30))
    evaluate(past + timedelta(minutes=32))
    assert Alert.objects.get().resolved_at
    record(cast.support, past - 2 * MINUTE, 10, **FAILED)
    drain(now)
    assert LateMinute.objects.exists()
    assert look(now).begun == 0 and Alert.objects.count() == 1


def test_what_still_holds_is_left_to_the_evaluation(cast, rule, now):
    for back in range(20, -1, -1):
        record(cast.support, now - back * MINUTE, 10, **FAILED)
    drain(now)
    assert look(now).begun == 0
    assert LateMinute.objects.exists()
    evaluate(now)
    assert Alert.objects.get().learnt_at is None
    assert look(now).begun == 0
    assert Alert.objects.count() == 1 and not LateMinute.objects.exists()


def test_a_month_of_late_events_at_once_is_one_notification_about_the_last_day(cast, rule, now):
    channel = make_channel(cast.support)
    aged(make_rule(team=cast.support, window_seconds=300, min_events=5, breakdown=["tenant"]))
    for days in range(1, 35):
        record(cast.support, now - timedelta(days=days, hours=3), 6, **FAILED)
    for number in range(MOST + 5):
        record(cast.support, now - timedelta(hours=3, seconds=number), 6, tenant=f"t{number}", **FAILED)
    drain(now)
    assert not LateMinute.objects.filter(bucket__lt=now - timedelta(hours=24)).exists()
    assert look(now).begun == MOST
    assert Alert.objects.filter(resolved_at=None).count() == 0
    assert Delivery.objects.filter(channel=channel).count() == 1
    assert f"and {MOST - 1} more" in Delivery.objects.get().title


def test_a_window_of_before_the_rule_was_made_fires_nothing(cast, rule, now):
    type(rule).objects.filter(pk=rule.pk).update(created_at=now - 10 * MINUTE)
    send_late(cast.support, now, ago=40)
    assert look(now).begun == 0


def test_a_silence_mutes_what_is_learnt_late(cast, rule, now):
    make_channel(cast.support)
    hour = timedelta(hours=1)
    Silence.objects.create(team=cast.support, reason="Upkeep", starts_at=now - hour, ends_at=now + hour)
    send_late(cast.support, now, ago=40)
    assert look(now).begun == 1
    assert "Upkeep" in Alert.objects.get().muted_by and not Delivery.objects.exists()


def test_a_client_that_still_empties_its_buffer_is_waited_for(cast, rule, now):
    send_late(cast.support, now, ago=40)
    assert evaluate_late(now + timedelta(seconds=20)).teams == 0
    LateMinute.objects.filter(bucket__lt=now - 30 * MINUTE).update(noticed_at=now - 11 * MINUTE)
    assert evaluate_late(now + timedelta(seconds=20)).teams == 1


def test_events_in_time_and_corrected_prices_leave_nothing_to_look_at(cast, rule, now):
    record(cast.support, now - MINUTE, 10, **FAILED)
    record(cast.support, now - timedelta(hours=30), 10, **FAILED)
    drain(now)
    assert not LateMinute.objects.exists()


def test_a_rule_of_all_teams_is_not_run_where_a_team_has_its_own_instead(cast, rule, now):
    everyone = aged(make_rule(window_seconds=300, min_events=5))
    type(rule).objects.filter(pk=rule.pk).update(options={"instead_of": everyone.slug})
    send_late(cast.support, now, ago=40)
    look(now)
    assert list(Alert.objects.values_list("rule", flat=True)) == [rule.pk]


def test_one_run_is_bounded_and_the_others_have_their_turn_next(cast, rule, now):
    aged(make_rule(team=cast.search, window_seconds=300, min_events=5))
    for team in (cast.support, cast.search):
        send_late(team, now, ago=40)
    first = evaluate_late(now + MINUTE, longest=timedelta(0))
    assert (first.teams, first.left) == (1, 1)
    assert evaluate_late(now + MINUTE).begun == 1
    assert Alert.objects.count() == 2
