"""Forecast pages, planned events, the budgets' list, over HTTP."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from budgets.models import Budget, Forecast, PlannedEvent
from budgets.planned import plan_event
from budgets.rules.outlook import Scenario
from budgets.rules.scenarios import says
from tests.guard import mid_month
from tests.test_forecast_making import make, used_for

pytestmark = pytest.mark.django_db


def text_of(client, url: str, **query) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def forecast_all() -> None:
    call_command("forecast", verbosity=0)


def launch(cast, **facts) -> PlannedEvent:
    today = timezone.now().date()
    whole = {"name": "Launch", "starts_on": today, "ends_on": today + timedelta(days=3), "factor": Decimal("1.4")}
    return plan_event(author=Author(user=cast.fatima), **(whole | facts))


def form(**more) -> dict:
    today = timezone.now().date().isoformat()
    return {"name": "Launch", "percent": "40", "starts_on": today, "ends_on": today, "team": ""} | more


def test_the_list_says_how_many_budgets_will_be_exceeded(client, cast):
    used_for(30, cast.support)
    make(cast, name="Tight", limit="0.05", period="quarter")
    make(cast, name="Wide", limit="1000")
    forecast_all()
    client.force_login(cast.fatima)
    page = text_of(client, reverse("forecast-list"))
    assert "<strong>1</strong> budget is expected to be exceeded" in page
    assert page.index("Tight") < page.index("Wide")


def test_a_budgets_page_shows_the_interval_scenarios_and_why(client, cast):
    used_for(30, cast.support)
    budget = make(cast, limit="2", period="quarter")
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-forecast", args=[budget.pk]))
    for words in ("in 80 of 100 cases", "Baseline", "Growth", "Risk", "30 known days", "80 % interval", "limit $2.00"):
        assert words in page


def test_ones_own_scenario_is_reckoned(client, cast):
    used_for(30, cast.support)
    budget = make(cast, period="quarter")
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-forecast", args=[budget.pk]), traffic="50", unit_cost="-10")
    assert "traffic +50 %, unit cost −10 %" in page


@pytest.mark.parametrize("given", ["much", "-91", "1e9", "nan"])
def test_an_odd_scenario_is_told_what_is_wanted(client, cast, given):
    used_for(30, cast.support)
    budget = make(cast)
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-forecast", args=[budget.pk]), traffic=given)
    assert "Traffic: a number of percent from -90 to 900" in page and "Your own</th>" not in page


def test_strangers_get_404(client, cast):
    budget = make(cast)
    client.force_login(cast.stan)
    assert client.get(reverse("budget-forecast", args=[budget.pk])).status_code == 404
    assert client.get(reverse("team-forecast", args=["support"])).status_code == 404
    assert client.get(reverse("organisation-forecast")).status_code == 404


def test_a_member_sees_the_team_and_its_budgets_only(client, cast):
    used_for(20, cast.support)
    make(cast, name="Ours")
    make(cast, name="Everything", team="")
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("forecast-list"))
    assert "Support AI" in page and "Ours" in page
    assert "All teams" not in page and "Everything" not in page and "Search" not in page.split("<main")[-1]


def test_without_a_forecast_the_page_says_why(client, cast):
    budget = make(cast)
    client.force_login(cast.vera)
    url = reverse("budget-forecast", args=[budget.pk])
    assert "a new budget has its first after a few minutes" in text_of(client, url)
    forecast_all()
    assert "0 known days; a forecast needs 3" in text_of(client, url)


def test_a_forecast_of_a_period_that_is_over_is_not_shown(client, cast):
    used_for(20, cast.support)
    budget = make(cast)
    forecast_all()
    Forecast.objects.update(period_end=timezone.now() - timedelta(hours=1))
    client.force_login(cast.vera)
    assert "No forecast yet" in text_of(client, reverse("budget-forecast", args=[budget.pk]))
    assert "expected</a>" not in text_of(client, reverse("budget-list"))


def test_the_budget_list_says_what_is_expected(client, cast):
    used_for(20, cast.support)
    for number in range(5):
        make(cast, name=f"Budget {number}")
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-list"))
    assert page.count("expected</a>") == 5 and "In 80 of 100 cases" in page


def test_a_budgets_own_page_links_to_its_forecast(client, cast):
    used_for(20, cast.support)
    budget = make(cast)
    forecast_all()
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-detail", args=[budget.pk]))
    assert "Expected by the end" in page and reverse("budget-forecast", args=[budget.pk]) in page


def test_a_budget_of_tokens_is_forecast_in_tokens(client, cast):
    used_for(20, cast.support)
    budget = make(cast, unit="tokens", limit="1000000", anchor=mid_month())  # its last day is a whole one
    forecast_all()
    one = Forecast.objects.get(budget=budget)
    assert one.outlook[-1].day.expected == pytest.approx(4 * 1100, rel=0.2)
    client.force_login(cast.vera)
    page = text_of(client, reverse("budget-forecast", args=[budget.pk]), traffic="10", unit_cost="50")
    assert "unit cost by" not in page and "tokens" in page


# --- Planned events ---------------------------------------------------------------------------------------------
def test_an_event_is_planned_changed_and_removed_with_an_audit_trail(client, cast):
    client.force_login(cast.fatima)
    client.post(reverse("planned-event-add"), form(team=cast.support.pk))
    event = PlannedEvent.objects.get()
    assert (event.factor, event.team, event.created_by) == (Decimal("1.4"), cast.support, cast.fatima)
    client.post(reverse("planned-event-edit", args=[event.pk]), form(team=cast.support.pk, percent="-25"))
    client.post(reverse("planned-event-remove", args=[event.pk]))
    event.refresh_from_db()
    assert event.factor == Decimal("0.75") and event.removed_at
    rows = AuditEntry.objects.filter(action__startswith="planned_event").order_by("id")
    assert [row.action.partition(".")[2] for row in rows] == ["added", "changed", "removed"]
    assert rows[1].before["factor"] == "1.4" and rows[1].after["factor"] == "0.75"


def test_an_edit_that_changes_nothing_is_no_edit(client, cast):
    event = launch(cast)
    client.force_login(cast.fatima)
    url = reverse("planned-event-edit", args=[event.pk])
    initial = client.get(url).context["form"].initial
    client.post(url, {name: value or "" for name, value in initial.items()})
    assert AuditEntry.objects.filter(action="planned_event.changed").count() == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ends_on": "2020-01-01"}, "must not be before the first"),
        ({"ends_on": "2099-01-01"}, "lasts a year at most"),
        ({"percent": "0"}, "nothing to plan for"),
        ({"percent": "-101"}, "greater than or equal to -100"),
        ({"name": ""}, "required"),
    ],
)
def test_a_wrong_event_is_refused_with_the_field(client, cast, wrong, said):
    client.force_login(cast.fatima)
    answer = client.post(reverse("planned-event-add"), form(**wrong))
    assert answer.status_code == 422 and said in answer.content.decode()
    assert not PlannedEvent.objects.exists()


def test_who_may_not_edit_budgets_may_not_plan_events(client, cast):
    event = launch(cast, team=cast.support)
    client.force_login(cast.vera)
    assert "Launch" in text_of(client, reverse("planned-event-list"))
    assert client.get(reverse("planned-event-add")).status_code == 403
    assert client.get(reverse("planned-event-edit", args=[event.pk])).status_code == 403
    assert client.post(reverse("planned-event-remove", args=[event.pk])).status_code == 403


def test_another_teams_event_is_404(client, cast):
    event = launch(cast, team=cast.support)
    client.force_login(cast.stan)
    assert "Launch</th>" not in text_of(client, reverse("planned-event-list"))
    assert client.get(reverse("planned-event-edit", args=[event.pk])).status_code == 404
    assert client.post(reverse("planned-event-remove", args=[event.pk])).status_code == 404


def test_a_teams_admin_plans_for_the_team_but_not_for_all(client, cast):
    client.force_login(cast.tara)
    assert client.post(reverse("planned-event-add"), form()).status_code == 422
    assert client.post(reverse("planned-event-add"), form(team=cast.search.pk)).status_code == 422
    assert client.post(reverse("planned-event-add"), form(team=cast.support.pk)).status_code == 302


def test_a_forecast_names_the_events_that_act_on_it(client, cast):
    used_for(20, cast.support)
    launch(cast, team=cast.support)
    launch(cast, name="Elsewhere", team=cast.search)
    launch(cast, name="Bank holiday", factor=Decimal("0.7"))
    forecast_all()
    client.force_login(cast.ada)
    page = text_of(client, reverse("team-forecast", args=["support"]))
    assert "Launch" in page and "Bank holiday" in page and "−30 %" in page
    assert "Elsewhere" not in page
    assert "Elsewhere" in text_of(client, reverse("organisation-forecast"))


def test_scenarios_are_said_in_words():
    assert says(Scenario("x", "X")) == "as it has been"
    assert says(Scenario("x", "X", traffic=1.3, unit_cost=0.9)) == "traffic +30 %, unit cost −10 %"


def test_budgets_that_ended_have_no_forecast(client, cast):
    used_for(20, cast.support)
    budget = make(cast)
    forecast_all()
    Budget.objects.update(is_active=False)
    forecast_all()
    assert not Forecast.objects.filter(budget=budget).exists()


def test_forecasts_are_found_by_name(client, cast):
    used_for(20, cast.support)
    make(cast, name="Chat of support")
    make(cast, name="Night jobs")
    forecast_all()
    client.force_login(cast.ada)
    page = text_of(client, reverse("forecast-list"), q="night")
    assert "Night jobs" in page and "Chat of support" not in page
    assert "Nothing has “zzz” in its name." in text_of(client, reverse("forecast-list"), q="zzz")
