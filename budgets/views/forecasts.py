"""Forecast pages: all of them, one of a budget, of a team, of all teams."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can_anywhere, get_team
from budgets.models import Budget, Forecast
from budgets.queries import forecasts
from budgets.queries.visible import get_budget, sees_organisation, waiting_changes
from budgets.rules.outlook import Scenario
from budgets.rules.scenarios import outcomes, says
from budgets.views.forecast_charts import by_day, course, last_day
from budgets.views.shown import tabs

BEFORE = timedelta(weeks=8)
ROWS = 100
# Percent that a viewer's own scenario may change traffic or unit cost by.
LEAST, MOST = -90.0, 900.0


@login_required
@require_safe
def forecast_list(request: HttpRequest) -> HttpResponse:
    """Forecasts the viewer may see: spend of teams, dearest first, and budgets, furthest first; `q` narrows by name."""
    found = forecasts.visible_forecasts(request.user, timezone.now())
    words = request.GET.get("q", "").strip()[:100]
    named = [one for one in found if words.lower() in one.name.lower()]
    spend = sorted(
        (one for one in named if not one.budget), key=lambda one: (one.team is not None, -(one.expected or 0))
    )
    budgets = sorted((one for one in named if one.budget), key=lambda one: -(one.share or 0))
    context = {
        "spend": [(one, url_of(one)) for one in spend[:ROWS]],
        "budgets": [(one, url_of(one)) for one in budgets[:ROWS]],
        "count": len(budgets),
        "left_out": max(len(spend) - ROWS, 0) + max(len(budgets) - ROWS, 0),
        "words": words,
        "over": sum((one.share or 0) > 1 for one in budgets),
        "made_at": max((one.made_at for one in found), default=None),
        "tabs": tabs("forecast-list", len(waiting_changes(request.user))),
    }
    return render(request, "budgets/forecast/list.html", context)


def url_of(one: Forecast) -> str:
    """The page of a forecast."""
    if one.budget_id:
        return reverse("budget-forecast", args=[one.budget_id])
    return reverse("team-forecast", args=[one.team.slug]) if one.team else reverse("organisation-forecast")


@login_required
@require_safe
def budget_forecast(request: HttpRequest, pk: int) -> HttpResponse:
    """The forecast of a budget's present period."""
    budget, now = get_budget(request.user, pk), timezone.now()
    one = Forecast.objects.filter(budget=budget, period_end__gt=now).first()
    return _page(request, budget, one, now, title=budget.name, budget=budget)


@login_required
@require_safe
def team_forecast(request: HttpRequest, slug: str) -> HttpResponse:
    """What a team will have spent by the end of the month."""
    team, now = get_team(request.user, slug), timezone.now()
    return _page(request, Budget(team=team), forecasts.of_spend(team, now), now, title=team.name)


@login_required
@require_safe
def organisation_forecast(request: HttpRequest) -> HttpResponse:
    """What all teams together will have spent by the end of the month."""
    if not sees_organisation(request.user):
        raise Http404
    now = timezone.now()
    return _page(request, Budget(), forecasts.of_spend(None, now), now, title="All teams")


def _page(
    request: HttpRequest, scope: Budget, one: Forecast | None, now: datetime, title: str, budget: Budget | None = None
) -> HttpResponse:
    context: dict[str, Any] = {
        "title": title,
        "budget": budget,
        "one": one,
        "unit": scope.unit_label,
        "may_edit": can_anywhere(request.user, "budget.edit"),
    }
    if one and one.known:
        context |= _figures(request, scope, one, now)
    return render(request, "budgets/forecast/page.html", context)


def _figures(request: HttpRequest, scope: Budget, one: Forecast, now: datetime) -> dict[str, Any]:
    events = forecasts.events_for(scope, one.period_start, one.period_end)
    own, errors = own_scenario(request)
    limit = float(one.limit) if one.limit else None
    found = outcomes(one.outlook, float(one.spent), limit, own, by_cost=one.unit == Budget.Unit.USD)
    used = forecasts.days(scope, one.period_start, one.period_end, now)
    return {
        "last_day": last_day(one),
        "course": course(one, used, events),
        "by_day": _by_day(scope, one, now, events),
        "events": events,
        "scenarios": [(outcome, says(outcome.scenario)) for outcome in found],
        "traffic": request.GET.get("traffic", ""),
        "unit_cost": request.GET.get("unit_cost", ""),
        "errors": errors,
    }


def _by_day(scope: Budget, one: Forecast, now: datetime, events) -> Any:
    if scope.period == Budget.Period.DAY:
        return None
    start = forecasts.day_end((now - BEFORE).date(), ZoneInfo(one.time_zone))
    used = forecasts.days(scope, start, one.period_end, now)
    return by_day(one, used, events)


def own_scenario(request: HttpRequest) -> tuple[Scenario | None, list[str]]:
    """The scenario of `?traffic=30&unit_cost=10` (percent), None without one; and what is wrong with it."""
    factors, errors = {}, []
    for name in ("traffic", "unit_cost"):
        text = request.GET.get(name, "").strip().removesuffix("%").strip()
        if not text:
            continue
        try:
            percent = float(text.replace(",", "."))
        except ValueError:
            percent = float("nan")
        if LEAST <= percent <= MOST:
            factors[name] = 1 + percent / 100
        else:
            label = name.replace("_", " ")
            errors.append(f"{label.capitalize()}: a number of percent from {LEAST:.0f} to {MOST:.0f}, e.g. 30.")
    return (Scenario("own", "Your own", **factors) if factors and not errors else None), errors
