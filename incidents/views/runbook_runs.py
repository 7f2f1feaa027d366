"""Following a runbook: steps to tick, the figures beside them, in an incident's panel and on a page of its own."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, person_of, require, teams_where
from accounts.models import Team, User
from accounts.posted import author_of, text_of, whole_number
from incidents.actions.runbook_runs import finish_run, start_run, tick_step, untick_step
from incidents.models import RunbookRun
from incidents.queries.incidents import visible_incidents
from incidents.queries.runbook_figures import look_up
from incidents.queries.runbook_places import slice_of
from incidents.queries.runbook_runs import Progress, fitting_runbooks, open_run, ticks_of, visible_runs
from incidents.queries.runbooks import visible_runbooks
from incidents.rules.markdown import Part, figures_of, steps_of
from incidents.views.runbooks import sections_of


@login_required
@require_safe
def incident_runbook(request: HttpRequest, pk: int) -> HttpResponse:
    """The runbook of an incident: the one being followed (or `run=ID`), else those that fit, to start."""
    user = person_of(request)
    incident = get_object_or_404(visible_incidents(user), pk=pk)
    number = whole_number(request.GET.get("run", ""))
    run = get_object_or_404(incident.runbook_runs.all(), pk=number) if number else open_run(incident)
    if run and request.GET.get("choose") != "1":
        return render(request, _template(request), {"incident": incident} | run_context(user, run))
    fits, others = fitting_runbooks(user, incident)
    may_run = can(user, "incident.work", incident.team)
    context = {
        "incident": incident,
        "fits": fits,
        "others": others,
        "may_run": may_run,
        "runs": incident.runbook_runs.all(),
    }
    return render(request, _template(request), context)


def _template(request: HttpRequest) -> str:
    """The panel alone where htmx asks for it, else a page of its own."""
    return f"incidents/runbooks/{'panel' if request.headers.get('HX-Request') else 'run'}.html"


@login_required
@require_POST
def runbook_start(request: HttpRequest, slug: str) -> HttpResponse:
    """Begin to follow a runbook, in the incident `incident`, else for the team `team` or on one's own."""
    user = person_of(request)
    book = get_object_or_404(visible_runbooks(user).filter(archived_at=None), slug=slug)
    number = whole_number(text_of(request, "incident"))
    incident = get_object_or_404(visible_incidents(user), pk=number) if number else None
    team = incident.team if incident else book.team or _own_team(user)
    require(user, "incident.work", team)
    run = start_run(author=author_of(request), book=book, incident=incident, team=team, at=timezone.now())
    return redirect(_address(run))


def _own_team(user: User) -> Team | None:
    """The one team a person works incidents in; None where that is the whole organisation. Of several, the first."""
    return None if can(user, "incident.work") else teams_where(user, "incident.work").order_by("pk").first()


@login_required
@require_safe
def runbook_run(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(visible_runs(person_of(request)), pk=pk)
    return render(request, _template(request), {"incident": run.incident} | run_context(person_of(request), run))


@login_required
@require_POST
def runbook_tick(request: HttpRequest, pk: int) -> HttpResponse:
    """Tick the step `step`, or take it back with `done=0`. htmx gets the panel, others are led back to the step."""
    run = _workable(request, pk)
    step = _step_of(run, text_of(request, "step"))
    act = untick_step if text_of(request, "done") == "0" else tick_step
    act(author=author_of(request), run=run, step=step, at=timezone.now())
    if request.headers.get("HX-Request"):
        context = {"incident": run.incident} | run_context(person_of(request), run)
        return render(request, "incidents/runbooks/panel.html", context)
    return redirect(f"{_address(run)}#{step.key.replace(':', '')}")


@login_required
@require_POST
def runbook_finish(request: HttpRequest, pk: int) -> HttpResponse:
    run = _workable(request, pk)
    if finish_run(author=author_of(request), run=run, at=timezone.now()):
        messages.success(request, f"{run.runbook.title} is finished. What was ticked stays on record.")
    return redirect(_address(run))


def _workable(request: HttpRequest, pk: int) -> RunbookRun:
    run = get_object_or_404(visible_runs(person_of(request)), pk=pk)
    require(request.user, "incident.work", run.team)
    if run.finished_at:
        raise Http404("This run is finished.")
    return run


def _step_of(run: RunbookRun, key: str) -> Part:
    for _, _, parts in sections_of(run.version):
        for step in steps_of(parts):
            if step.key == key:
                return step
    raise Http404("There is no such step in this version.")


def _address(run: RunbookRun) -> str:
    if run.incident_id:
        return f"{reverse('incident-runbook', args=[run.incident_id])}?run={run.pk}"
    return reverse("runbook-run", args=[run.pk])


def run_context(user: User, run: RunbookRun) -> dict:
    """What the panel of a run shows: sections with steps, ticks, and every figure that a step asks for."""
    place = slice_of(user, run.incident, run.team)
    sections = sections_of(run.version, place.places)
    ticks = ticks_of(run)
    everything = tuple(part for _, _, parts in sections for part in parts)
    steps = steps_of(everything)
    next_key = next((step.key for step in steps if step.key not in ticks), "")
    return {
        "run": run,
        "sections": [(*section, _progress(section[2], ticks)) for section in sections],
        "progress": Progress(ticks, len(steps)),
        "next_key": next_key,
        "next_section": next_key.partition(":")[0],
        "figures": look_up(figures_of(everything), place, timezone.now()),
        "may_run": can(user, "incident.work", run.team) and not run.finished_at,
        "is_outdated": run.version.number != run.runbook.version,
        "address": _address(run),
    }


def _progress(parts: tuple[Part, ...], ticks: dict) -> Progress:
    keys = {step.key for step in steps_of(parts)}
    return Progress({key: tick for key, tick in ticks.items() if key in keys}, len(keys))
