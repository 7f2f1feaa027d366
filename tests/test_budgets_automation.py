"""Thresholds act by themselves: alerts once, modes with dwell and hysteresis, whatever order data came in."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.actions import Author
from budgets.actions import archive_budget, create_budget
from budgets.automation import evaluate, modes_set
from budgets.facts import check
from budgets.guard.metering import refresh
from budgets.models import Budget
from budgets.queries.standing import standings
from budgets.rules.periods import period_of
from budgets.rules.thresholds import Step, reached, severity_of
from incidents.controls import end_control, in_force
from incidents.models import Alert, Control
from tests.cast import bearer
from tests.guard import CALL, ask
from tests.traffic import record
from usage.models import ChangeMarker
from usage.rollups import drain


@given(st.decimals(0, 3, places=4), st.floats(0, 1))
def test_what_was_entered_is_left_later_than_it_was_entered(share, elapsed):
    step = Step(Decimal(85), "conserve")
    if reached(step, share, elapsed):
        assert reached(step, share, elapsed, entered=True)


def test_a_burn_rate_holds_only_while_it_is_early():
    step = Step(Decimal(60), "notify", Decimal(33))
    assert reached(step, Decimal("0.6"), 0.32)
    assert not reached(step, Decimal("0.6"), 0.33)


@pytest.mark.parametrize(
    ("step", "severity"),
    [
        (Step(Decimal(70), "notify"), "info"),
        (Step(Decimal(70), "conserve"), "warning"),
        (Step(Decimal(60), "notify", Decimal(33)), "warning"),
        (Step(Decimal(85), "notify"), "warning"),
        (Step(Decimal(90), "block"), "critical"),
        (Step(Decimal(100), "notify"), "critical"),
    ],
)
def test_severities_are_those_of_the_field(step, severity):
    assert severity_of(step)[0] == severity


def make(cast, *thresholds: str, **more) -> Budget:
    """A budget of 10 requests an hour of team support, with thresholds like "85:conserve"."""
    rows = [dict(zip(("percent", "action"), text.split(":"), strict=True)) for text in thresholds]
    facts = {"name": "Support, hourly", "team": "support", "limit": "10", "unit": "requests", "period": "hour"}
    draft = check(facts | {"thresholds": rows} | more, teams=[cast.support])
    return create_budget(author=Author(user=cast.fatima), draft=draft)


@pytest.fixture
def now():
    """A moment in the middle of an hour that is over: no test depends on the minute it runs in."""
    return timezone.now().replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)


def use(cast, now, number: int, **more) -> None:
    record(cast.support, now - timedelta(minutes=5), number, **more)
    drain()
    refresh(now)


@pytest.mark.django_db
def test_each_threshold_raises_one_alert_however_often_it_is_evaluated(cast, now):
    budget = make(cast, "70:notify", "85:notify", "100:notify")
    use(cast, now, 9)
    for _ in range(3):
        evaluate(now)
    alerts = Alert.objects.order_by("id")
    assert sorted(one.severity for one in alerts) == ["info", "warning"]
    assert {one.raised_count for one in alerts} == {1}
    assert all(one.runbook and one.team == budget.team and str(budget.pk) in one.url for one in alerts)


@pytest.mark.django_db
def test_alerts_of_a_period_are_resolved_when_it_is_over(cast, now):
    make(cast, "70:notify")
    use(cast, now, 9)
    evaluate(now)
    refresh(now + timedelta(minutes=31))
    evaluate(now + timedelta(minutes=31))
    assert not Alert.objects.filter(resolved_at=None).exists()


@pytest.mark.django_db
def test_a_threshold_sets_the_mode_over_the_slice_until_the_period_ends(cast, now):
    budget = make(cast, "80:conserve", feature="chat")
    use(cast, now, 8, feature="chat")
    evaluate(now)
    evaluate(now)
    control = Control.objects.get()
    assert (control.mode, control.feature, control.team, control.origin) == (
        "conserve",
        "chat",
        cast.support,
        "threshold",
    )
    assert control.expires_at == period_of(budget, now)[1]
    assert "8 requests of 10 requests used" in control.reason
    assert ChangeMarker.objects.filter(kind="policy").count() == 1


@pytest.mark.django_db
def test_a_budget_crossed_by_late_events_is_crossed(cast, now):
    make(cast, "80:block")
    use(cast, now, 1)
    assert evaluate(now)["modes_begun"] == 0
    record(cast.support, now - timedelta(minutes=25), 9)
    drain()
    refresh(now)
    assert evaluate(now)["modes_begun"] == 1
    assert Control.objects.get().mode == "blocked"


@pytest.mark.django_db
def test_a_mode_is_left_after_its_dwell_and_below_its_margin_only(cast, now):
    budget = make(cast, "80:conserve")
    use(cast, now, 8)
    evaluate(now)
    Budget.objects.filter(pk=budget.pk).update(limit=Decimal("10.2"))  # 78.4 %: within the margin
    assert evaluate(now + timedelta(minutes=15))["modes_ended"] == 0
    Budget.objects.filter(pk=budget.pk).update(limit=20)
    assert evaluate(now + timedelta(minutes=9))["modes_ended"] == 0
    assert evaluate(now + timedelta(minutes=11))["modes_ended"] == 1


@pytest.mark.django_db
def test_a_mode_that_a_person_ended_stays_ended_for_the_period(cast, now):
    make(cast, "80:conserve")
    use(cast, now, 8)
    evaluate(now)
    end_control(author=Author(user=cast.olu), control=Control.objects.get(), reason="Launch day", at=now)
    evaluate(now + timedelta(seconds=5))
    assert Control.objects.count() == 1


@pytest.mark.django_db
def test_an_ended_budget_takes_its_mode_with_it(cast, now):
    budget = make(cast, "80:conserve")
    use(cast, now, 8)
    evaluate(now)
    archive_budget(author=Author(user=cast.fatima), budget=budget, base_version=1, reason="Over")
    evaluate(now + timedelta(minutes=11))
    assert Control.objects.get().ended_reason.startswith("The budget is below")
    assert not Alert.objects.filter(resolved_at=None).exists()


@pytest.mark.django_db
def test_a_mode_is_entered_by_burn_rate(cast, now):
    rows = [{"percent": "60", "before": "60", "action": "emergency"}]
    make(cast, thresholds=rows)
    use(cast, now, 6)
    evaluate(now)
    assert (Control.objects.get().origin, Control.objects.get().mode) == ("burn_rate", "emergency")


@pytest.mark.django_db
def test_the_standing_is_that_of_the_guards_ledger(cast, now):
    budget = make(cast)
    before = standings([budget], now)[0]
    use(cast, now, 4)
    after = standings([budget], now)[0]
    assert (before.metered_at, before.used) == (None, 0)
    assert (after.metered_at, after.used, after.left) == (now, 4, 6)


@pytest.mark.django_db
def test_the_list_says_which_mode_a_budget_has_set(client, cast, now):
    budget = make(cast, "70:conserve", "80:block")
    use(cast, now, 8)
    evaluate(now)
    assert modes_set(now)[budget.pk].mode == "blocked"
    Control.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    client.force_login(cast.fatima)
    assert "blocked mode" in client.get(reverse("budget-list")).content.decode()


@pytest.mark.django_db
def test_a_mode_of_the_organisations_budget_tells_teams_no_name_and_no_figure(client, cast, now, support_key):
    make(cast, "80:block", team="", name="Board secret")
    use(cast, now, 9)
    evaluate(now)
    Control.objects.update(expires_at=None)  # the hour of the test is over
    told = ask(client, support_key, "check", **CALL)["reason"]["message"]
    listed = client.get("/api/v1/controls", headers=bearer(support_key)).content.decode()
    client.force_login(cast.vera)
    pages = [client.get(reverse(name)).content.decode() for name in ("control-list", "change-list", "alert-list")]
    for text in (told, listed, *pages):
        assert "Board secret" not in text
        assert "9 requests" not in text
    assert "threshold of 80 %" in told


@pytest.mark.django_db
def test_a_mode_moves_with_its_budget(cast, now):
    budget = make(cast, "80:conserve", feature="chat")
    use(cast, now, 8, feature="chat")
    evaluate(now)
    Budget.objects.filter(pk=budget.pk).update(feature="")
    refresh(now)
    evaluate(now)
    assert [one.feature for one in in_force(now)] == [""]


@pytest.mark.django_db
def test_a_block_of_a_budget_is_lifted_by_who_may_approve_budgets_only(client, cast, now):
    make(cast, "80:block")
    use(cast, now, 8)
    evaluate(now)
    control = Control.objects.get()
    Control.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    for person, status in ((cast.olu, 403), (cast.tara, 302)):
        client.force_login(person)
        assert client.post(reverse("control-end", args=[control.pk]), {"reason": "Launch"}).status_code == status


@pytest.mark.django_db
def test_one_budget_that_cannot_be_acted_on_does_not_stop_the_others(cast, now):
    broken = make(cast, "80:conserve", name="Broken")
    make(cast, "80:conserve", name="Sound", feature="answers")
    use(cast, now, 8)
    with connection.cursor() as cursor:
        refusal = f"CHECK (origin_key <> 'budget:{broken.pk}:80:conserve')"
        cursor.execute(f"ALTER TABLE incidents_control ADD CONSTRAINT refused {refusal}")
    evaluate(now)
    assert [one.feature for one in Control.objects.all()] == ["answers"]
