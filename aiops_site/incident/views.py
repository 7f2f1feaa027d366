"""The page and its parts. Each part has its own address, so that the answer never waits for the evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.access import can_anywhere, person_of
from aiops_site.incident import breakdown, cause, impact, links, markers, now, objectives, quota, rules, trends
from aiops_site.incident.situation import is_live, look
from aiops_site.middleware import HtmxRequest
from incidents.models import Incident
from incidents.queries.incidents import OPEN_FIRST, visible_incidents, with_roles
from usage import rollups
from usage.models import Series
from usage.scope import Scope
from usage.views.events import first_event

DEFAULT_RANGE = "6h"
OPEN_SHOWN = 5
STALE_AFTER = 60  # seconds of roll-up lag that are worth a notice
CHANGES_BEFORE = timedelta(hours=2)  # a change this long before the focus may still be its cause


@dataclass(frozen=True)
class Part:
    """A part of the page: its heading, the skeleton it replaces and what its template draws."""

    title: str
    skeleton: str
    context: Callable[[HttpRequest, Scope], dict]


def _impact(_: HttpRequest, scope: Scope) -> dict:
    situation = look(scope)
    found = markers.of(situation.focus, situation.focus.start - CHANGES_BEFORE)
    return {
        "impact": impact.read(situation),
        "changes": found,
        "changes_url": markers.list_url(situation.focus),
        "focus_label": now.focus_label(situation),
    }


def _cause(_: HttpRequest, scope: Scope) -> dict:
    situation = look(scope)
    return {"cause": cause.read(situation), "focus_label": now.focus_label(situation)}


def _trends(_: HttpRequest, scope: Scope) -> dict:
    return {"charts": trends.read(scope)}


def _breakdown(request: HttpRequest, scope: Scope) -> dict:
    get = request.GET
    return {"table": breakdown.read(scope, get.get("by", ""), get.get("sort", breakdown.DEFAULT_SORT))}


PARTS = {
    "impact": Part("Who is hit, what changed", "table", _impact),
    "cause": Part("Us, our data or the provider", "table", _cause),
    "objectives": Part("Error budgets", "table", objectives.read),
    "quota": Part("Quota use", "table", quota.read),
    "trends": Part("Over time", "chart", _trends),
    "breakdown": Part("Breakdown", "table", _breakdown),
}


@login_required
@require_safe
@vary_on_headers("HX-Request")
def incident(request: HtmxRequest) -> HttpResponse:
    """The page; to a refresh only its first section."""
    scope = Scope.from_request(request, default_range=DEFAULT_RANGE)
    situation = look(scope)
    if not situation.timeline.seen and not _ever(scope):
        return render(request, "aiops_site/incident/first_run.html", _first_run(request, scope))
    context = {"scope": scope, "live": situation.live, "now": now.read(situation), "lag": _lag()}
    context |= {"incidents": open_incidents(request, scope), "may_declare": can_anywhere(request.user, "incident.work")}
    context["triage_url"] = links.triage(situation.focus)
    if request.htmx:
        return render(request, "aiops_site/incident/now.html", context)
    parts = [(name, part.title, part.skeleton, links.part(scope, name)) for name, part in PARTS.items()]
    return render(request, "aiops_site/incident/page.html", context | {"parts": parts, "signals": rules.SIGNALS})


@login_required
@require_safe
@vary_on_headers("HX-Request")
def incident_part(request: HtmxRequest, name: str) -> HttpResponse:
    """One part: alone for htmx, as a page of its own without a script."""
    if name not in PARTS:
        raise Http404
    scope = Scope.from_request(request, default_range=DEFAULT_RANGE)
    part = PARTS[name]
    context = {"scope": scope, "live": is_live(scope), "part": part} | part.context(request, scope)
    template = f"aiops_site/incident/{name}.html"
    if request.htmx:
        return render(request, template, context)
    context |= {"template": template, "page_url": links.page(scope)}
    return render(request, "aiops_site/incident/part.html", context)


def open_incidents(request: HttpRequest, scope: Scope) -> list[Incident]:
    """Open ones of the teams looked at, and the organisation's, the worst first."""
    found = visible_incidents(person_of(request)).filter(resolved_at=None, is_drill=False)
    teams = found.filter(Q(team__in=scope.team_ids) | Q(team=None))
    return list(with_roles(teams).order_by(*OPEN_FIRST)[:OPEN_SHOWN])


def _lag() -> float | None:
    """Seconds the roll-ups are behind, where that is worth saying."""
    lag = rollups.lag_seconds()
    return lag if lag > STALE_AFTER else None


def _ever(scope: Scope) -> bool:
    """Whether the viewer's teams ever sent an event."""
    return Series.objects.filter(team_id__in=scope.team_ids).exists()


def _first_run(request: HttpRequest, scope: Scope) -> dict:
    """The way to a first event: a line to paste, and where to get its key."""
    return {"scope": scope, "first_curl": first_event(request)}
