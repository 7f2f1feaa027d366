"""The spend against its budgets: those expected to go furthest, and the course of the widest with its forecast."""

from dataclasses import dataclass, replace

from django.db.models import F, QuerySet

from aiops_site.charts import Chart
from budgets.models import Budget, Forecast
from budgets.queries.forecasts import days, events_for, of_spend
from budgets.queries.standing import Standing, standings
from budgets.queries.visible import sees_organisation, visible_budgets
from budgets.views.forecast_charts import course
from usage.models.scopes import SCOPE_FIELDS
from usage.scope import Scope

SHOWN = 4
PERIODS = (Budget.Period.MONTH, Budget.Period.QUARTER)
# A budget of everything a team or the organisation does: it holds the whole spend.
WHOLE = dict.fromkeys(SCOPE_FIELDS, "")


@dataclass(frozen=True)
class Budgets:
    """`lines`: furthest first; `more` is how many are left out; `chart` is the course of the widest whole budget."""

    lines: list[Standing]
    more: int
    chart: Chart | None


def read(scope: Scope, user) -> Budgets:
    """The viewer's budgets in USD of a month or a quarter; a handful of queries however many there are."""
    found = visible_budgets(user).filter(is_active=True, unit=Budget.Unit.USD, period__in=PERIODS)
    found = found.prefetch_related(None)
    if scope.team:
        found = found.filter(team=scope.team)
    furthest = F("forecast__expected") / F("limit")
    first = list(found.order_by(furthest.desc(nulls_last=True), "name")[: SHOWN + 1])
    lines = standings(first[:SHOWN], scope.end)
    more = found.count() - SHOWN if len(first) > SHOWN else 0
    return Budgets(lines, more, _course(scope, found))


def _course(scope: Scope, found: QuerySet[Budget]) -> Chart | None:
    budget = found.filter(**WHOLE).order_by(F("team").asc(nulls_first=True), "period", "id").first()
    one = Forecast.objects.filter(budget=budget, period_end__gt=scope.end).first() if budget else None
    if budget is None or one is None or not one.known:
        return None
    used = days(budget, one.period_start, one.period_end, scope.end)
    events = events_for(budget, one.period_start, one.period_end)
    chart = course(one, used, events)
    return replace(chart, id="budget-course", title=f"{budget.name}: {chart.title}", height="small")


def expected(scope: Scope, user) -> Forecast | None:
    """The month's forecast of what the page is about: a team or all of them. None of a part, or of some teams."""
    whole = not scope.team and sees_organisation(user)
    if scope.filters or not (whole or len(scope.teams) == 1):
        return None
    one = of_spend(None if whole else scope.teams[0], scope.end)
    return one if one and one.known else None
