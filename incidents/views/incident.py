"""The page of one incident and its parts, each with its own address, so that nothing waits for the slowest."""

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can, person_of
from incidents.actions.incidents import moments_of
from incidents.models import Incident, IncidentImage, IncidentRole, Message, TimelineEntry
from incidents.queries.changed import changed_of
from incidents.queries.evidence import chart_of
from incidents.queries.impact import impact_of
from incidents.queries.incidents import get_incident, visible_incidents
from incidents.queries.oncall import on_call
from incidents.queries.people import linked_to, owners_of, parts_with, roles_of, workers_of
from incidents.queries.timeline import as_json, as_markdown, page_of
from incidents.rules.next_step import Situation, next_step
from incidents.rules.states import clocks, next_states
from usage.metrics import CATALOGUE, QueryError
from usage.scope import zone_of

# Panels in the order in which a bad night needs them: name, heading, the skeleton it replaces.
PANELS = (
    ("triage", "Triage", "table"),
    ("mitigations", "Mitigations", "table"),
    ("watch", "Did it help?", "chart"),
    ("messages", "Messages", "table"),
    ("runbook", "Runbook", "table"),
)
# Figures and breakdowns offered for pinning; the address takes any of the catalogue.
PINNED = (
    "error_rate", "requests", "latency_p95", "call_error_rate", "cost_per_hour", "tokens_per_call", "rate_limited",
    "retries", "empty_retrieval_rate", "citation_coverage", "refusal_rate", "fallback_rate",
)  # fmt: skip
BROKEN_DOWN_BY = ("", "provider", "model", "feature", "tenant", "region", "prompt_version", "error_type")


def address(name: str, incident: Incident) -> str:
    """The address of a part of the incident's page; "" where this desk has none."""
    try:
        return reverse(f"incident-{name}", args=[incident.pk])
    except NoReverseMatch:
        return ""


def panels_of(incident: Incident) -> list[tuple[str, str, str, str]]:
    """(name, heading, skeleton, address) of every panel that this desk has."""
    return [(name, title, kind, url) for name, title, kind in PANELS if (url := address(name, incident))]


def situation_of(incident: Incident, roles: list[Any]) -> Situation:
    kinds = set(incident.timeline.values_list("kind", flat=True).distinct())
    return Situation(
        state=incident.state,
        acknowledged=incident.acknowledged_at is not None,
        commanded=any(one.role == IncidentRole.Role.COMMANDER and one.user for one in roles),
        failure_mode=incident.failure_mode,
        mitigations=int(TimelineEntry.Kind.MITIGATION in kinds),
        mitigated_at=incident.mitigated_at,
        next_update_at=incident.next_update_at,
        told=Message.objects.filter(incident=incident, state=Message.State.SENT).exists(),
    )


def now_context(request: HttpRequest, incident: Incident, now: datetime) -> dict[str, Any]:
    """What the top of the page shows: state, the next step, clocks, roles."""
    user, roles = person_of(request), roles_of(incident)
    step = next_step(situation_of(incident, roles), now)
    panel = step.act.removeprefix("panel:") if step.act.startswith("panel:") else ""
    ahead = [(value, Incident.State(value).label) for value in next_states(incident.state)]
    return {
        "incident": incident,
        "clocks": clocks(moments_of(incident)),
        "step": step,
        "step_state": step.act.removeprefix("state:") if step.act.startswith("state:") else "",
        "step_url": address(panel, incident) if panel else "",
        "step_panel": panel,
        "ahead": ahead,
        "roles": roles,
        "may_work": can(user, "incident.work", incident.team),
        "now": now,
    }


@login_required
@require_safe
def incident_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One incident: what, since when, who is hit, what it costs, what to do next, everything that happened."""
    return detail(request, get_incident(person_of(request), pk))


def detail(request: HttpRequest, incident: Incident, *, draft: str = "", refused: str = "") -> HttpResponse:
    """The page; with the `draft` of an entry that was `refused`, so that nothing typed is lost (400)."""
    user, now = person_of(request), timezone.now()
    context = now_context(request, incident, now) | {
        "panels": panels_of(incident),
        "page": page_of(incident, request.GET.get("before", ""), request.GET.get("kind", "")),
        "kinds": TimelineEntry.Kind.choices,
        "kind": request.GET.get("kind", ""),
        "before": request.GET.get("before", ""),
        "owners": owners_of(incident),
        "workers": workers_of(incident),
        "on_call": on_call(incident.team, now),
        "linked": linked_to(incident, user),
        "lead": visible_incidents(user).filter(parts=incident).first(),
        "parts": parts_with(incident, user),
        "merged": visible_incidents(user).filter(merged_into=incident),
        "into": visible_incidents(user).filter(merged=incident).first(),
        "figures": [(name, CATALOGUE[name].label) for name in PINNED],
        "breakdowns": BROKEN_DOWN_BY,
        "draft": draft,
        "refused": refused,
    }
    return render(request, "incidents/incident.html", context, status=400 if refused else 200)


@login_required
@require_safe
def incident_part(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """The top, the timeline, the impact or what changed: alone for htmx, as a page of its own without a script."""
    incident, now = get_incident(person_of(request), pk), timezone.now()
    template, context = PARTS[name](request, incident, now)
    context |= {"incident": incident, "now": now}
    if request.headers.get("HX-Request"):
        return render(request, template, context)
    return render(request, "incidents/incidents/part.html", context | {"template": template, "title": TITLES[name]})


def _now(request: HttpRequest, incident: Incident, now: datetime) -> tuple[str, dict[str, Any]]:
    return "incidents/incidents/now.html", now_context(request, incident, now)


def _timeline(request: HttpRequest, incident: Incident, now: datetime) -> tuple[str, dict[str, Any]]:
    before, kind = request.GET.get("before", ""), request.GET.get("kind", "")
    context = {"page": page_of(incident, before, kind), "before": before, "kind": kind}
    return "incidents/incidents/timeline.html", context


def _impact(request: HttpRequest, incident: Incident, now: datetime) -> tuple[str, dict[str, Any]]:
    """Where the figures cannot be read by this slice, the page says so and goes on without."""
    try:
        return "incidents/incidents/impact.html", {"impact": impact_of(incident, now)}
    except QueryError as error:
        return "incidents/incidents/impact.html", {"problem": str(error)}


def _changed(request: HttpRequest, incident: Incident, now: datetime) -> tuple[str, dict[str, Any]]:
    zone = zone_of(request.user)
    return "incidents/incidents/changes.html", {"changed": changed_of(incident, now, zone)}


PARTS = {"now": _now, "entries": _timeline, "impact": _impact, "changes": _changed}
TITLES = {"now": "State", "entries": "Timeline", "impact": "Who is hit", "changes": "What changed"}


@login_required
@require_safe
def incident_image(request: HttpRequest, pk: int, entry: int) -> HttpResponse:
    """A picture of the timeline, for who sees the incident; never as anything but a picture."""
    incident = get_incident(person_of(request), pk)
    image = get_object_or_404(IncidentImage, entry__incident=incident, entry_id=entry)
    response = HttpResponse(bytes(image.content), content_type=image.content_type)
    response["Content-Disposition"] = f'inline; filename="{incident.number}-{entry}.{image.content_type[6:]}"'
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=3600"
    return response


@login_required
@require_safe
def incident_evidence(request: HttpRequest, pk: int, entry: int) -> HttpResponse:
    """A pinned chart as it was, with its data as a table."""
    incident = get_incident(person_of(request), pk)
    pinned = get_object_or_404(incident.timeline.select_related("author"), pk=entry, data__has_key="chart")
    chart = chart_of(pinned.pk, pinned.text, pinned.data["chart"], zone_of(request.user))
    context = {"incident": incident, "entry": pinned, "chart": chart}
    if request.headers.get("HX-Request"):
        return render(request, "components/chart.html", {"chart": chart})
    return render(request, "incidents/incidents/evidence.html", context)


@login_required
@require_safe
def incident_export(request: HttpRequest, pk: int, form: str) -> HttpResponse:
    """The whole timeline as JSON or Markdown."""
    incident = get_incident(person_of(request), pk)
    if form not in ("json", "md"):
        raise Http404
    if form == "json":
        response: HttpResponse = JsonResponse(as_json(incident), json_dumps_params={"indent": 2, "ensure_ascii": False})
    else:
        response = HttpResponse(as_markdown(incident), content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{incident.number}-timeline.{form}"'
    return response
