"""Budgets: the list with where each stands, one budget, making and editing it, its history."""

from datetime import datetime
from decimal import Decimal
from itertools import dropwhile
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, teams_where
from accounts.posted import author_of, report, whole_number
from aiops_site.charts import Chart, Series, Threshold
from budgets.actions import create_budget, edit_budget
from budgets.automation import modes_set
from budgets.facts import DEFAULTS, facts_of
from budgets.forms.budgets import BudgetEditForm, BudgetForm, GrantForm, ReasonForm
from budgets.models import Budget
from budgets.queries.preview import preview
from budgets.queries.standing import Standing, standings
from budgets.queries.used import METRICS
from budgets.queries.visible import get_budget, visible_budgets, waiting_changes
from budgets.rules.periods import previous_period
from budgets.views.shown import amount, tabs, tell
from usage.metrics import MetricQuery, query

PAGE = 50
SORTS = {
    "share": lambda one: one.share,
    "name": lambda one: one.budget.name.lower(),
    "used": lambda one: one.used,
    "left": lambda one: one.left,
    "limit": lambda one: one.limit,
}


@login_required
@require_safe
def budget_list(request: HttpRequest) -> HttpResponse:
    """Budgets in force by how much of them is used; `q`, `team`, `period`, `show=ended` narrow, `sort` orders."""
    found = visible_budgets(request.user).filter(is_active=request.GET.get("show") != "ended")
    chosen = _narrowed(found, request)
    shown = standings(chosen, timezone.now())
    sort = request.GET.get("sort", "-share")
    key = SORTS.get(sort.lstrip("-"), SORTS["share"])
    shown.sort(key=key, reverse=sort.startswith("-"))
    page = _page_number(request, len(shown))
    waiting = waiting_changes(request.user)
    modes = modes_set(timezone.now())
    return render(
        request,
        "budgets/list.html",
        {
            "rows": [(one, modes.get(one.budget.pk)) for one in shown[(page - 1) * PAGE : page * PAGE]],
            "count": len(shown),
            "totals": _totals(shown),
            "words": request.GET.get("q", ""),
            "any": found.exists(),
            "ended": request.GET.get("show") == "ended",
            "periods": Budget.Period.choices,
            "period": request.GET.get("period", ""),
            "team": request.GET.get("team", ""),
            "page": page,
            "pages": range(1, (len(shown) - 1) // PAGE + 2),
            "waiting": waiting,
            "tabs": tabs("budget-list", len(waiting)),
            "may_edit": can_anywhere(request.user, "budget.edit"),
            "editable": _editable(request.user),
        },
    )


def _editable(user) -> set[int | None]:
    """Teams whose budgets the user may edit; None among them for budgets of the organisation."""
    teams: set[int | None] = set(teams_where(user, "budget.edit").values_list("pk", flat=True))
    return teams | {None} if can(user, "budget.edit") else teams


def _narrowed(found, request: HttpRequest):
    words, team, period = (request.GET.get(name, "").strip()[:100] for name in ("q", "team", "period"))
    for word in words.split():
        found = found.filter(name__icontains=word) | found.filter(feature__icontains=word)
    if team:
        found = found.filter(team__slug=team)
    return found.filter(period=period) if period in Budget.Period.values else found


def _page_number(request: HttpRequest, count: int) -> int:
    last = max(1, -(-count // PAGE))
    return min(whole_number(request.GET.get("page", "")) or 1, last)


def _totals(shown: list[Standing]) -> dict[str, Any]:
    """How many budgets need a look. Amounts are not added up: slices overlap."""
    return {
        "over": sum(one.share >= 1 for one in shown),
        "near": sum(Decimal("0.85") <= one.share < 1 for one in shown),
        "early": sum(one.pace.exhausted_at is not None for one in shown),
        "unknown": sum(one.unknown_calls > 0 for one in shown),
    }


@login_required
def budget_add(request: HttpRequest) -> HttpResponse:
    """Make a budget; fields may come filled in by the query string."""
    if not can_anywhere(request.user, "budget.edit"):
        require(request.user, "budget.edit")
    given = {name: value for name, value in request.GET.items() if name in BudgetForm.base_fields}
    user = person_of(request)
    form = BudgetForm(request.POST or None, user=user, facts=DEFAULTS | {"time_zone": user.time_zone} | given)
    if request.method == "POST" and form.is_valid() and form.draft:
        try:
            budget = create_budget(author=author_of(request), draft=form.draft)
        except ValidationError as error:
            report(form, error)
        else:
            return redirect("budget-detail", budget.pk)
    return render(request, "budgets/form.html", {"form": form, "tabs": tabs("budget-list", 0)})


@login_required
def budget_edit(request: HttpRequest, pk: int) -> HttpResponse:
    budget = get_budget(request.user, pk)
    require(request.user, "budget.edit", budget.team)
    extra = {"base_version": budget.version}
    form = BudgetEditForm(request.POST or None, user=person_of(request), facts=facts_of(budget), extra=extra)
    if request.method == "POST" and form.is_valid() and form.draft:
        try:
            outcome = edit_budget(
                author=author_of(request),
                budget=budget,
                base_version=form.cleaned_data["base_version"],
                draft=form.draft,
                reason=form.cleaned_data["reason"],
            )
        except ValidationError as error:
            report(form, error)
        else:
            tell(request, outcome, f"{outcome.budget.name} is changed.")
            return redirect("budget-detail", pk)
    return render(request, "budgets/form.html", {"form": form, "budget": budget, "tabs": tabs("budget-list", 0)})


@login_required
@require_POST
def budget_preview(request: HttpRequest) -> HttpResponse:
    """What the budget of the form would have done in its last whole period; a part of the form's page."""
    if not can_anywhere(request.user, "budget.edit"):
        require(request.user, "budget.edit")
    form = BudgetForm(request.POST, user=person_of(request), facts=DEFAULTS)
    context: dict[str, Any] = {"form": form}
    if form.is_valid() and form.draft:
        found = preview(form.draft, timezone.now())
        context["preview"] = found
    return render(request, "budgets/preview.html", context)


@login_required
@require_safe
def budget_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One budget: where it stands, its course within the period, thresholds, grants, what waits, who edited it."""
    budget = get_budget(request.user, pk)
    now = timezone.now()
    standing = standings([budget], now)[0]
    return render(
        request,
        "budgets/detail.html",
        {
            "budget": budget,
            "standing": standing,
            "chart": _course(standing) if not budget.user_hash else None,
            "thresholds": [(row, standing.limit * row.percent / 100) for row in budget.thresholds.all()],
            "grants": budget.grants.select_related("created_by")[:20],
            "grant_form": GrantForm(),
            "reason_form": ReasonForm(initial={"base_version": budget.version}),
            "pending": budget.pending_changes.filter(state="waiting").select_related("requested_by").first(),
            "revisions": budget.revisions.select_related("actor", "approved_by")[:5],
            "may_edit": can(request.user, "budget.edit", budget.team),
            "may_approve": can(request.user, "budget.approve", budget.team),
            "now": now,
        },
    )


def _course(standing: Standing) -> Chart:
    """The running sum of the period beside the one before, with the limit and the thresholds as rules."""
    budget, metric = standing.budget, METRICS[standing.budget.unit]
    step = {"hour": "minute", "day": "hour", "week": "6hour"}.get(budget.period, "day")
    return Chart(
        id="course",
        title=_course_title(standing),
        unit=budget.unit_label,
        series=[
            Series("This period", _running(budget, metric, standing.start, standing.end, step, standing.now)),
            Series("Period before", _before(standing, metric, step), previous=True),
        ],
        tz=ZoneInfo(budget.time_zone),
        start=standing.start,
        end=standing.end,
        thresholds=[Threshold(float(standing.limit), f"limit {amount(standing.limit, budget.unit_label)}")],
        height="medium",
    )


def _course_title(standing: Standing) -> str:
    unit = standing.budget.unit_label
    return f"{amount(standing.used, unit)} of {amount(standing.limit, unit)} used: {standing.pace.word}"


def _running(
    budget: Budget, metric: str, start: datetime, end: datetime, step: str, now: datetime
) -> list[tuple[datetime, Decimal]]:
    answer = query(
        MetricQuery(
            metrics=(metric,),
            start=start,
            end=min(end, now),
            step=step,
            filters=budget.filters,
            team_ids=(budget.team_id,) if budget.team_id else None,
            zone=ZoneInfo(budget.time_zone),
        ),
        now,
    )
    total, points = Decimal(0), []
    for at, value in answer.points(metric):
        total += value or 0
        points.append((at, total))
    return list(dropwhile(lambda point: not point[1], points))


def _before(standing: Standing, metric: str, step: str) -> list[tuple[datetime, Decimal]]:
    """The running sum of the period before, laid onto this one."""
    start, end = previous_period(standing.budget, standing.start)
    points = _running(standing.budget, metric, start, end, step, standing.now)
    return [(at - start + standing.start, value) for at, value in points]
