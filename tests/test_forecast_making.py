"""Forecasts of budgets, teams and the organisation: made from real traffic, kept, and the alert."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.actions import Author
from accounts.models import Team
from budgets.actions import create_budget
from budgets.facts import check
from budgets.forecasting.histories import histories, used_days
from budgets.forecasting.keep import due
from budgets.forecasting.make import ahead, forecasts
from budgets.forecasting.subjects import Subject, subjects
from budgets.models import Budget, Forecast, PlannedEvent
from budgets.rules.outlook import Method
from budgets.rules.periods import period_of
from budgets.tasks.forecasts import refresh_forecasts
from incidents.models import Alert
from tests.traffic import record
from usage.rollups import drain

BERLIN = "Europe/Berlin"


def of(budget: Budget, now: datetime) -> Subject:
    return Subject(budget, *period_of(budget, now), None, Decimal(0), 0)


def used_for(days: int, team: Team, calls: int = 4, **fields) -> None:
    """The same number of calls at noon of each of the days before today."""
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    for back in range(1, days + 1):
        record(team, noon - timedelta(days=back), calls, **fields)
    drain()


def make(cast, **facts) -> Budget:
    facts = {"name": "Support, monthly", "team": "support", "limit": "100"} | facts
    return create_budget(author=Author(user=cast.fatima), draft=check(facts, teams=[cast.support, cast.search]))


@pytest.mark.parametrize(
    ("day", "period", "days"),
    [
        ("2026-02-01", "month", 28),
        ("2028-02-01", "month", 29),
        ("2026-04-30", "month", 1),
        ("2026-05-01", "month", 31),
        ("2026-07-01", "quarter", 92),
        ("2026-01-01", "quarter", 90),
        ("2026-05-06", "week", 5),
        ("2026-05-06", "day", 1),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York"])
def test_the_days_ahead_reach_to_the_end_of_the_period(day, period, days, zone):
    now = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
    assert ahead(of(Budget(period=period, time_zone=zone), now), now) == (days, pytest.approx(0.5, abs=0.001))


@pytest.mark.parametrize(("day", "left"), [("2026-03-29", 12 / 23), ("2026-10-25", 12 / 25), ("2026-06-01", 0.5)])
def test_a_day_of_a_changing_clock_has_the_hours_it_has(day, left):
    now = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(BERLIN))
    assert ahead(of(Budget(time_zone=BERLIN), now), now)[1] == pytest.approx(left)


def test_a_period_of_a_far_zone_is_counted_in_its_days():
    now = datetime(2026, 3, 31, 16, tzinfo=UTC)  # 05:00 on 1 April in Auckland
    assert ahead(of(Budget(time_zone="Pacific/Auckland"), now), now)[0] == 30


def test_days_before_the_first_use_are_no_history():
    start = date(2026, 3, 1)
    points = list(zip((start + timedelta(n) for n in range(5)), [0, 0, Decimal(3), 0, None], strict=True))
    found = used_days(points)
    assert (found.start, found.values) == (date(2026, 3, 3), [3.0, 0.0, None])
    assert used_days(points[:2]).values == [] and used_days(points[:2]).end == date(2026, 3, 3)


@pytest.mark.django_db
def test_a_day_of_unknown_cost_is_unknown(cast):
    used_for(3, cast.support)
    record(cast.support, timezone.now() - timedelta(days=5), model="nobody-knows-it", provider="unheard-of")
    drain()
    [subject] = [one for one in subjects(timezone.now()) if one.budget.team == cast.support]
    history = histories([subject], timezone.now())[subject]
    assert history.values[0] is None and len([value for value in history.values if value]) == 3


@pytest.mark.django_db
def test_every_team_all_teams_and_each_budget_get_one(cast):
    used_for(20, cast.support)
    budget = make(cast)
    make(cast, name="Each hour", period="hour", limit="1")
    call_command("forecast", verbosity=0)
    found = list(Forecast.objects.all())
    assert {(one.budget, one.team) for one in found} == {
        (budget, None),
        (None, None),
        (None, cast.support),
        (None, cast.search),
    }
    of_budget = next(one for one in found if one.budget)
    whole = next(one for one in found if not one.budget and not one.team)
    quiet = next(one for one in found if one.team == cast.search)
    assert of_budget.method == Method.WEEKDAYS and of_budget.expected == whole.expected
    assert quiet.method == Method.NONE and quiet.expected is None and "0 known days" in quiet.reason


@pytest.mark.django_db
def test_what_is_spent_and_what_lies_ahead_add_up(cast):
    used_for(20, cast.support)
    make(cast, period="quarter")
    call_command("forecast", verbosity=0)
    one = Forecast.objects.get(budget__isnull=False)
    assert float(one.expected) == pytest.approx(float(one.spent) + one.outlook[-1].total.expected, rel=1e-4)
    assert one.low95 <= one.low80 <= one.expected <= one.high80 <= one.high95


@pytest.mark.django_db
def test_the_day_a_limit_is_used_up_is_kept(cast):
    used_for(30, cast.support)
    daily = Decimal("0.0035") * 4
    make(cast, period="quarter", limit=str(daily * 100))
    call_command("forecast", verbosity=0)
    one = Forecast.objects.get(budget__isnull=False)
    at = next((day.date for day in one.outlook if float(one.spent) + day.total.expected > float(one.limit)), None)
    assert one.exhausted_on == at


@pytest.mark.django_db
def test_a_budget_of_one_user_says_why_it_has_none(cast):
    make(cast, user_hash="u1")
    call_command("forecast", verbosity=0)
    one = Forecast.objects.get(budget__isnull=False)
    assert (one.method, one.reason) == (Method.NONE, "Use by one user is not kept by day")


@pytest.mark.django_db
def test_an_event_of_one_team_lifts_all_teams_by_its_share(cast):
    dear = {"input_tokens": 1_000_000}  # so that what is left of a month's last day is not lost in rounding
    used_for(30, cast.support, calls=3, **dear)
    used_for(30, cast.search, calls=1, **dear)
    now = timezone.now()
    today = now.date()

    def last_days() -> dict:
        made = forecasts(subjects(now), PlannedEvent.objects.select_related("team"), now)
        return {one.team: one.outlook[-1].day.expected for one in made}

    before = last_days()
    PlannedEvent.objects.create(
        team=cast.support, name="Launch", starts_on=today, ends_on=today + timedelta(days=60), factor="1.4"
    )
    after = last_days()
    assert after[cast.support] / before[cast.support] == pytest.approx(1.4, rel=1e-3)
    assert after[cast.search] / before[cast.search] == pytest.approx(1.0, rel=1e-3)
    assert after[None] / before[None] == pytest.approx(1.3, rel=1e-2)


@pytest.mark.django_db
def test_far_over_its_budget_is_an_alert_until_it_is_not(cast):
    used_for(30, cast.support)
    budget = make(cast, limit="0.05", period="quarter")
    call_command("forecast", verbosity=0)
    call_command("forecast", verbosity=0)
    alert = Alert.objects.get()
    assert (alert.source_kind, alert.source_key, alert.route) == ("budget-forecast", str(budget.pk), "ticket")
    assert "over its budget" in alert.title and alert.resolved_at is None
    Budget.objects.update(limit=1000)
    call_command("forecast", verbosity=0)
    alert.refresh_from_db()
    assert alert.resolved_at


@pytest.mark.django_db
def test_a_very_short_history_alarms_nobody(cast):
    used_for(5, cast.support)
    make(cast, limit="0.05", period="quarter")
    call_command("forecast", verbosity=0)
    assert Forecast.objects.get(budget__isnull=False).method == Method.MEAN
    assert not Alert.objects.exists()


@pytest.mark.django_db
def test_they_are_due_hourly_and_soon_after_a_change(cast):
    now = timezone.now()
    assert due(now)
    call_command("forecast", verbosity=0)
    assert not due(now + timedelta(minutes=30))
    assert due(now + timedelta(minutes=61))
    today = now.date()
    PlannedEvent.objects.create(name="Launch", starts_on=today, ends_on=today, factor="1.4")
    assert not due(now + timedelta(minutes=1))
    assert due(now + timedelta(minutes=3))


@pytest.mark.django_db
def test_the_task_makes_them_once(cast):
    assert refresh_forecasts() is True
    assert refresh_forecasts() is False
    assert Forecast.objects.count() == 3


def test_only_the_command_loads_the_statistics_library():
    code = (
        "import django, sys; django.setup(); import aiops_site.urls, budgets.tasks;"
        "assert 'statsmodels' not in sys.modules and 'pandas' not in sys.modules"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "aiops_site.settings", "SECRET_KEY": "x", "DEBUG": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
