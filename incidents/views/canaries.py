"""Synthetic checks: the list with how each does, one check with its last answers, making and editing it."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require
from accounts.posted import author_of, report
from aiops_site import formats
from aiops_site.charts import Chart, Series, Slot, Threshold, heat_strip
from aiops_site.charts.strips import Strip
from incidents.actions.canaries import run_now, save_canary
from incidents.forms.canaries import CanaryForm, as_initial
from incidents.models import Canary, CanaryRun
from incidents.queries.canaries import FAILS_AT, Day, days, visible_canaries
from incidents.rules.canaries import Assertion
from incidents.views.tabs import alert_tabs
from usage.scope import zone_of

RUNS, FAILURES = 20, 10
CHARTED = 300


@dataclass(frozen=True)
class Row:
    """A check with its last day; `tone` and `word` say how it stands."""

    canary: Canary
    day: Day
    strip: Strip
    tone: str
    word: str
    host: str


def _row(canary: Canary, day: Day, zone: ZoneInfo) -> Row:
    slots = [Slot(start, share) for start, share in day.hours]
    strip = heat_strip(slots, tz=zone, label=f"{canary.name}: share of good runs by hour, 24 h", good=1, bad=0.5)
    return Row(canary, day, strip, *_standing(canary), host=urlsplit(canary.url).netloc)


def _standing(canary: Canary) -> tuple[str, str]:
    if not canary.is_active:
        return "neutral", "Off"
    if canary.last_run_at is None:
        return "neutral", "Not run yet"
    if canary.failed_in_row >= FAILS_AT:
        return "bad", f"Failing, {canary.failed_in_row} in a row"
    return ("warn", "Failed once") if canary.failed_in_row else ("ok", "Passing")


@login_required
@require_safe
def canary_list(request: HttpRequest) -> HttpResponse:
    """Failing ones first, those switched off last."""
    user, now = person_of(request), timezone.now()
    found = list(visible_canaries(user))
    by_canary = days(found, now)
    rows = [_row(canary, by_canary[canary.pk], zone_of(user)) for canary in found]
    rows.sort(key=lambda row: (not row.canary.is_active, -row.canary.failed_in_row, row.canary.name.lower()))
    running = [row for row in rows if row.canary.is_active]
    return render(
        request,
        "incidents/canaries/list.html",
        {
            "rows": rows,
            "running": len(running),
            "failing": [row.canary.name for row in running if row.canary.failed_in_row >= FAILS_AT],
            "tabs": alert_tabs("canary-list"),
            "may_edit": can_anywhere(user, "rule.edit"),
        },
    )


@login_required
@require_safe
def canary_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """How it does, what it asks for, its last answers."""
    user, now = person_of(request), timezone.now()
    canary = get_object_or_404(visible_canaries(user), pk=pk)
    runs = list(canary.runs.all()[:CHARTED])
    return render(
        request,
        "incidents/canaries/detail.html",
        {
            "row": _row(canary, days([canary], now)[canary.pk], zone_of(user)),
            "canary": canary,
            "every": formats.long_duration(canary.every_seconds),
            "chart": _chart(canary, runs, now, zone_of(user)) if runs else None,
            "runs": runs[:RUNS],
            "failed": canary.runs.filter(ok=False)[:FAILURES],
            "assertions": [Assertion(**one).line for one in canary.assertions],
            "tabs": alert_tabs("canary-list"),
            "may_edit": can(user, "rule.edit", canary.team),
            "may_run": canary.is_active and can(user, "alert.acknowledge", canary.team),
        },
    )


def _chart(canary: Canary, runs: list[CanaryRun], now: datetime, zone: ZoneInfo) -> Chart:
    points = [(run.at, run.latency_ms) for run in reversed(runs)]
    known = [(value, at) for at, value in points if value is not None]
    title = "No run was answered"
    if known:
        slowest, at = max(known)
        title = f"Slowest answer: {formats.duration(slowest)} on {at.astimezone(zone):%-d %B %H:%M}"
    limits = [Threshold(canary.slowest_ms, f"slowest allowed {formats.duration(canary.slowest_ms)}")]
    return Chart(
        id="latency",
        title=title,
        unit="ms",
        series=[Series("Answer time", points)],
        tz=zone,
        start=points[0][0],
        end=now,
        thresholds=limits if canary.slowest_ms else [],
        note="A gap is a run without an answer.",
        height="small",
    )


@login_required
def canary_add(request: HttpRequest) -> HttpResponse:
    """Make a check."""
    if not can_anywhere(request.user, "rule.edit"):
        require(request.user, "rule.edit")
    return _edit(request, Canary(), CanaryForm(request.POST or None, user=person_of(request)))


@login_required
def canary_edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = person_of(request)
    canary = get_object_or_404(visible_canaries(user), pk=pk)
    require(user, "rule.edit", canary.team)
    return _edit(
        request, canary, CanaryForm(request.POST or None, user=user, canary=canary, initial=as_initial(canary))
    )


def _edit(request: HttpRequest, canary: Canary, form: CanaryForm) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        require(request.user, "rule.edit", form.cleaned_data["team"])
        version = form.cleaned_data["version"] if canary.pk else None
        facts = {"values": form.values, "headers": form.cleaned_data["headers"], "version": version}
        try:
            saved = save_canary(author=author_of(request), canary=canary, **facts)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{saved.name} is saved{' and runs now' if saved.is_active else ''}.")
            return redirect("canary-detail", saved.pk)
    known = canary if canary.pk else None
    context = {"form": form, "canary": known, "tabs": alert_tabs("canary-list")}
    return render(request, "incidents/canaries/form.html", context)


@login_required
@require_POST
def canary_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Run it at the next look, within seconds."""
    canary = get_object_or_404(visible_canaries(person_of(request)), pk=pk)
    require(request.user, "alert.acknowledge", canary.team)
    run_now(author=author_of(request), canary=canary)
    messages.success(request, "It runs within a few seconds; the page shows it when you reload.")
    return redirect("canary-detail", pk)
