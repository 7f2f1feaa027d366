"""Anomalies: the list, one of them with its chart, and deciding on it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, person_of, require, visible_teams
from aiops_site import formats
from aiops_site.charts import Chart, Marker, Series
from budgets.anomalies.decide import decide_anomaly
from budgets.forms.anomalies import DecideForm, ReopenForm
from budgets.models import Anomaly, AnomalyWatch
from budgets.models.anomalies import WATCHED
from budgets.queries.anomalies import get_anomaly, in_state, running_size, same_time, visible_anomalies, why_url
from budgets.rules.episode import HOUR

PAGE = 50
STATES = (("open", "Running"), ("", "All"), ("decided", "Decided"), ("withdrawn", "Withdrawn"))


@login_required
@require_safe
def anomaly_list(request: HttpRequest) -> HttpResponse:
    """Anomalies, newest first; `state`, `team` and `metric` narrow."""
    found = visible_anomalies(request.user)
    state, team, metric = (request.GET.get(name, "") for name in ("state", "team", "metric"))
    chosen = in_state(found, state)
    chosen = chosen.filter(team__slug=team) if team else chosen
    chosen = chosen.filter(metric=metric) if metric in dict(WATCHED) else chosen
    page = Paginator(chosen, PAGE).get_page(request.GET.get("page"))
    running = in_state(found, "open")
    return render(
        request,
        "budgets/anomalies/list.html",
        {
            "page": page,
            "running": running.count(),
            "running_usd": running_size(running),
            "any": found.exists(),
            "watched": AnomalyWatch.objects.filter(team__in=visible_teams(request.user)).count(),
            "state": state,
            "states": STATES,
            "team": team,
            "metric": metric,
            "metrics": WATCHED,
        },
    )


@login_required
@require_safe
def anomaly_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One anomaly: what was expected, what came, what it cost, and what to do about it."""
    one = get_anomaly(request.user, pk)
    may_decide = can(request.user, "anomaly.decide", one.team)
    return render(request, "budgets/anomalies/detail.html", _shown(request, one, may_decide, DecideForm()))


def _shown(request: HttpRequest, one: Anomaly, may_decide: bool, form: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "one": one,
        "chart": course(one),
        "near": same_time(one),
        "why_url": why_url(one, now),
        "hours": ((one.ended_at or now) - one.started_at) / HOUR,
        "may_decide": may_decide,
        "form": form,
        "reopen_form": ReopenForm(),
    }


def course(one: Anomaly) -> Chart:
    """The hours before and during it over the band that was expected."""
    points = one.points
    banded = [(point.at, (point.band.low, point.band.high) if point.band else (None, None)) for point in points]
    return Chart(
        id="course",
        title=_title(one),
        unit=one.unit,
        series=[
            Series("Expected range", [pair for pair in banded if pair[1][0] is not None], kind="band", key="other"),
            Series("Expected", [(p.at, p.band.middle if p.band else None) for p in points], tone="muted", dash="dash"),
            Series(one.get_metric_display(), [(p.at, p.value) for p in points], tone="accent"),
        ],
        tz=timezone.get_current_timezone(),
        start=points[0].at,
        end=points[-1].at + HOUR,
        step="hour",
        markers=_markers(one),
        height="large",
    )


def _markers(one: Anomaly) -> list[Marker]:
    marks: list[tuple[datetime | None, str]] = [(one.started_at, "begins"), (one.ended_at, "over")]
    return [Marker(at, word, "") for at, word in marks if at]


def _title(one: Anomaly) -> str:
    value, low, high = (formats.figure(figure, one.unit) for figure in (one.value, one.low, one.high))
    return f"{one.get_metric_display()} reached {value}; {low} to {high} was expected"


@login_required
@require_POST
def anomaly_decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark as expected or dismiss."""
    one = get_anomaly(request.user, pk)
    require(request.user, "anomaly.decide", one.team)
    form = DecideForm(request.POST)
    if not form.is_valid():
        return render(request, "budgets/anomalies/detail.html", _shown(request, one, True, form), status=422)
    return _decided(request, one, **form.cleaned_data)


@login_required
@require_POST
def anomaly_reopen(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a decision back."""
    one = get_anomaly(request.user, pk)
    require(request.user, "anomaly.decide", one.team)
    form = ReopenForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why it is opened again.")
        return redirect("anomaly-detail", pk)
    return _decided(request, one, decision="", reason=form.cleaned_data["reason"])


def _decided(request: HttpRequest, one: Anomaly, decision: str, reason: str) -> HttpResponse:
    try:
        row = decide_anomaly(
            anomaly=one,
            decision=decision,
            reason=reason,
            actor=person_of(request),
            now=timezone.now(),
            request=request,
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{row.get_decision_display() or 'Open again'}: {row.title}.")
    return redirect("anomaly-detail", one.pk)
