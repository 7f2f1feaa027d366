"""Showback of a month: who spent what, with shared costs split, and what is not tagged; and its CSV."""

import csv
from collections.abc import Iterator
from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, require, visible_teams
from accounts.models import Team
from accounts.posted import author_of
from budgets.attribution import keep_cost, share_cost
from budgets.focus import Echo
from budgets.forms.attribution import SharedForm
from budgets.models import SharedCost
from budgets.queries.showback import DIMENSIONS, Line, Showback, showback, untagged
from budgets.rules.focus import safe
from budgets.rules.months import month_of, recent_months
from budgets.views.shown import report_tabs

ROWS = 50  # shown; the CSV has all
LABELS = {"team": "Team", "feature": "Feature", "tenant": "Tenant", "cost_center": "Cost centre"}


@login_required
@require_safe
def attribution(request: HttpRequest) -> HttpResponse:
    """`month` (YYYY-MM) and `by` one dimension."""
    start, end, problem = _month(request)
    dimension = _dimension(request)
    found = _showback(request, dimension, start, end)
    return render(
        request,
        "budgets/attribution/showback.html",
        {
            "showback": found,
            "lines": [(line, _share(line, found)) for line in found.lines[:ROWS]],
            "more": max(len(found.lines) - ROWS, 0),
            "untagged_url": f"{reverse('attribution-untagged')}?month={start:%Y-%m}",
            "dimension": dimension,
            "label": LABELS[dimension],
            "labels": LABELS.items(),
            "month": f"{start:%Y-%m}",
            "start": start,
            "months": recent_months(timezone.now()),
            "problem": problem,
            "tabs": report_tabs("attribution"),
            "may_edit": can(request.user, "budget.edit"),
            "methods": SharedCost.Method.choices,
            "shared": SharedCost.objects.filter(dimension=dimension),
            "sees_all": _sees_all(request),
        },
    )


@login_required
@require_safe
def attribution_untagged(request: HttpRequest) -> HttpResponse:
    """The part of the page that says what names no feature, tenant or cost centre; it reads all of a month thrice."""
    start, end, _ = _month(request)
    ids = tuple(team.pk for team in visible_teams(request.user))
    found = [(LABELS[name], name, figures) for name, figures in untagged(ids, start, end).items() if figures]
    return render(request, "budgets/attribution/untagged.html", {"untagged": found})


@login_required
@require_safe
def attribution_csv(request: HttpRequest) -> HttpResponseBase:
    """The same table, every line and every digit."""
    start, end, problem = _month(request)
    if problem:
        return HttpResponse(problem, status=400, content_type="text/plain; charset=utf-8")
    dimension = _dimension(request)
    found = _showback(request, dimension, start, end)
    response = StreamingHttpResponse(_lines(found), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="showback_{start:%Y-%m}_by_{dimension}.csv"'
    return response


def _showback(request: HttpRequest, dimension: str, start: datetime, end: datetime) -> Showback:
    teams = list(visible_teams(request.user))
    return showback(teams, dimension, start, end, split=_sees_all(request))


def _sees_all(request: HttpRequest) -> bool:
    """Shared costs are split over all teams: a split over some of them would be another one."""
    return visible_teams(request.user).count() == Team.objects.count()


def _month(request: HttpRequest) -> tuple[datetime, datetime, str]:
    try:
        return *month_of(request.GET.get("month", ""), timezone.now()), ""
    except ValueError as refused:
        return *month_of("", timezone.now()), str(refused)


def _dimension(request: HttpRequest) -> str:
    chosen = request.GET.get("by", "team")
    return chosen if chosen in DIMENSIONS else "team"


def _share(line: Line, found: Showback) -> float | None:
    return float(line.total / found.spend.known) if found.spend.known else None


def _lines(found: Showback) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow(
        ["start", "end", found.dimension, "own_usd", "shared_usd", "total_usd", "split", "requests", "calls", "unknown"]
    )
    window = [f"{moment:%Y-%m-%d}" for moment in (found.start, found.end)]
    for line in found.lines:
        amounts = [f"{amount:f}" for amount in (line.own, line.shared, line.total)]
        counts = [line.figures.requests, line.figures.calls, line.figures.unknown]
        yield writer.writerow([*window, safe(line.name or "(none)"), *amounts, line.method, *counts])


@login_required
@require_POST
def shared_set(request: HttpRequest) -> HttpResponse:
    require(request.user, "budget.edit")
    form = SharedForm(request.POST)
    if form.is_valid():
        shared = share_cost(author=author_of(request), **form.cleaned_data)
        messages.success(request, f"{shared}.")
    else:
        messages.error(request, "Choose a group, and how to split it: evenly, by spend or by requests.")
    return _back(request, request.POST.get("dimension", "team"))


@login_required
@require_POST
def shared_remove(request: HttpRequest, pk: int) -> HttpResponse:
    require(request.user, "budget.edit")
    shared = get_object_or_404(SharedCost, pk=pk)
    dimension = shared.dimension
    keep_cost(author=author_of(request), shared=shared)
    messages.success(request, "It bears its own cost again.")
    return _back(request, dimension)


def _back(request: HttpRequest, dimension: str) -> HttpResponse:
    return redirect(f"{reverse('attribution')}?by={dimension if dimension in DIMENSIONS else 'team'}")
