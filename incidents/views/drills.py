"""Drills: the list with results over time, starting one, its live page and its score."""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require
from accounts.models import User
from accounts.posted import author_of, report, text_of, whole_number
from aiops_site.charts import Chart, Series
from aiops_site.formats import span_text
from incidents.actions.drills import Outdated, end_drill, save_notes, say_moment, start_drill
from incidents.forms.drills import DrillForm, MomentForm
from incidents.models import Drill, FailureMode
from incidents.queries.drills import alerts_of, controls_of, visible_drills
from incidents.queries.incidents import visible_incidents
from incidents.rules.drills import GOALS, MOMENTS, SCENARIOS, Scenario, is_right, score

PAGE, DRAWN = 25, 30
LABELS = {"detected": "Detected", "acknowledged": "Acknowledged", "classified": "Classified", "mitigated": "Mitigated"}


@dataclass(frozen=True)
class Clock:
    """One of the four moments of a drill, as the pages show it."""

    moment: str
    label: str
    took: timedelta | None
    goal: timedelta

    @property
    def text(self) -> str:
        return span_text(self.took) if self.took is not None else "–"

    @property
    def note(self) -> str:
        return f"goal {span_text(self.goal)}"

    @property
    def tone(self) -> str:
        if self.took is None:
            return ""
        return "ok" if self.took <= self.goal else "warn" if self.took <= 2 * self.goal else "bad"


@dataclass(frozen=True)
class Shown:
    """A drill with its clocks; `scenario` is None where it must not be seen yet."""

    drill: Drill
    scenario: Scenario | None
    clocks: list[Clock]
    right: bool | None
    score: int | None

    @property
    def mode(self) -> str:
        return FailureMode(self.drill.classified_as).label if self.drill.classified_as else ""

    @property
    def truth(self) -> str:
        return FailureMode(self.scenario.truth).label if self.scenario else ""


def shown(drill: Drill, user: User) -> Shown:
    took = {moment: drill.took(moment) for moment in MOMENTS}
    open_to = not drill.is_running or not drill.is_blind or drill.started_by_id == user.pk
    right = is_right(drill.scenario, drill.classified_as) if not drill.is_running else None
    return Shown(
        drill,
        SCENARIOS[drill.scenario] if open_to else None,
        [Clock(moment, LABELS[moment], took[moment], GOALS[moment]) for moment in MOMENTS],
        right,
        score(took, right) if drill.state == Drill.State.ENDED else None,
    )


@login_required
@require_safe
def drill_list(request: HttpRequest) -> HttpResponse:
    """Running ones, then results, newest first, and how they developed."""
    user = person_of(request)
    mine = visible_drills(user)
    page = Paginator(mine.exclude(state=Drill.State.RUNNING), PAGE).get_page(request.GET.get("page"))
    ended = list(mine.filter(state=Drill.State.ENDED)[:DRAWN])[::-1]
    return render(
        request,
        "incidents/drills/list.html",
        {
            "running": [shown(one, user) for one in mine.filter(state=Drill.State.RUNNING)],
            "rows": [shown(one, user) for one in page],
            "page": page,
            "may_start": can_anywhere(user, "incident.work"),
            "chart": _development(ended) if len(ended) > 1 else None,
        },
    )


def _development(drills: list[Drill]) -> Chart:
    """Minutes to each moment, drill by drill; a moment that never came is a gap."""
    lines = [
        Series(LABELS[moment], [(one.started_at, _minutes(one.took(moment))) for one in drills]) for moment in MOMENTS
    ]
    last, first = (one.took("mitigated") for one in (drills[-1], drills[0]))
    title = "Minutes from the fault to each moment"
    if last and first:
        title = f"Mitigated after {span_text(last)}; the first of these took {span_text(first)}"
    return Chart(id="drills", title=title, unit="min", series=lines, tz=timezone.get_current_timezone())


def _minutes(length: timedelta | None) -> float | None:
    return round(length / timedelta(minutes=1), 1) if length is not None else None


@login_required
def drill_start(request: HttpRequest) -> HttpResponse:
    """Choose a scenario and begin."""
    user = person_of(request)
    if not can_anywhere(user, "incident.work"):
        require(user, "incident.work")
    form = DrillForm(request.POST or None, user=user, initial={"scenario": request.GET.get("scenario")})
    if request.method == "POST" and form.is_valid():
        facts = {name: form.cleaned_data[name] for name in ("team", "kind", "scenario", "is_blind")}
        try:
            drill = start_drill(author=author_of(request), lasts=form.length, at=timezone.now(), **facts)
        except ValidationError as error:
            report(form, error)
        else:
            return redirect("drill-detail", pk=drill.pk)
    return render(request, "incidents/drills/start.html", {"form": form, "scenarios": SCENARIOS.values()})


@login_required
@require_safe
def drill_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Live while it runs; the score and what was learned afterwards."""
    return _detail(request, get_object_or_404(visible_drills(person_of(request)), pk=pk))


def _detail(request: HttpRequest, drill: Drill, refused: str | None = None) -> HttpResponse:
    """The page of a drill; with `refused`, notes that were not saved because others were meanwhile: 409."""
    user = person_of(request)
    one, now = shown(drill, user), timezone.now()
    minutes = (now - drill.fault_at) // timedelta(minutes=1)
    cards = SCENARIOS[drill.scenario].cards
    return render(
        request,
        "incidents/drills/detail.html",
        {
            "one": one,
            "drill": drill,
            "incident": visible_incidents(user).filter(pk=drill.incident_id).first() if drill.incident_id else None,
            "now": now,
            "may_work": can(user, "incident.work", drill.team),
            "alerts": alerts_of(drill).order_by("started_at")[:20],
            "controls": controls_of(drill)[:20],
            "cards": [(at, text) for at, text in cards if at <= minutes or not drill.is_running],
            "to_say": [clock for clock in one.clocks if clock.took is None],
            "modes": FailureMode.choices,
            "refused": refused,
        },
        status=200 if refused is None else 409,
    )


@login_required
@require_POST
def drill_end(request: HttpRequest, pk: int) -> HttpResponse:
    drill = get_object_or_404(visible_drills(person_of(request)).select_related("api_key"), pk=pk)
    require(request.user, "incident.work", drill.team)
    cancelled = text_of(request, "how") == "cancel"
    if not end_drill(author=author_of(request), drill=drill, at=timezone.now(), cancelled=cancelled):
        messages.info(request, "It had ended already.")
    return redirect("drill-detail", pk=pk)


@login_required
@require_POST
def drill_say(request: HttpRequest, pk: int) -> HttpResponse:
    """Of a tabletop: detected, acknowledged, classified or mitigated now."""
    drill = get_object_or_404(visible_drills(person_of(request)), pk=pk)
    require(request.user, "incident.work", drill.team)
    form = MomentForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the failure modes.")
        return redirect("drill-detail", pk=pk)
    try:
        say_moment(author=author_of(request), drill=drill, at=timezone.now(), **form.cleaned_data)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("drill-detail", pk=pk)


@login_required
@require_POST
def drill_notes(request: HttpRequest, pk: int) -> HttpResponse:
    """What was learned. Where somebody saved meanwhile: 409, with theirs and what was typed."""
    drill = get_object_or_404(visible_drills(person_of(request)), pk=pk)
    require(request.user, "incident.work", drill.team)
    notes, version = text_of(request, "notes", 10_000), whole_number(request.POST.get("version", "")) or 0
    try:
        save_notes(author=author_of(request), drill=drill, notes=notes, version=version)
    except Outdated as outdated:
        return _detail(request, outdated.drill, refused=notes)
    messages.success(request, "What was learned is saved.")
    return redirect("drill-detail", pk=pk)
