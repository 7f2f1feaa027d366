"""Triage panels of an incident: what fails, what to do, whether it helped; and triage of any window."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import can, person_of, require
from accounts.models import Team
from accounts.posted import author_of, text_of, whole_number
from aiops_site import formats
from incidents.actions.incidents import Changed
from incidents.actions.triage import choose_mode
from incidents.models import FailureMode, Incident, TimelineEntry
from incidents.queries import visible_alerts
from incidents.queries.incidents import get_incident
from incidents.triage import Assessment, assess, assess_incident, mitigations, shown
from incidents.triage.window import scope_of
from usage.metrics import QueryError
from usage.scope import FILTERS, Scope

TONES = {"clear": "bad", "likely": "warn", "none": "neutral"}
WORDS = {"clear": "Clear evidence", "likely": "Likely", "none": "Nothing stands out"}
BEFORE_ALERT = timedelta(minutes=15)  # a rule fires only after its window and "for"
OFFERED = 5  # mitigations named beside a verdict outside an incident


def teams_of(incident: Incident) -> tuple[int, ...]:
    """The teams whose traffic an incident is about: its own, or all."""
    return (incident.team_id,) if incident.team_id else tuple(Team.objects.values_list("pk", flat=True))


def assessed(incident: Incident, now: datetime) -> Assessment:
    """Raises QueryError where the roll-ups cannot answer for this slice."""
    return assess_incident(incident, teams_of(incident), now)


def dated(found: dict[str, Any]) -> dict[str, Any]:
    """What `shown` gave, with its times as times again, for a template."""
    times = {name: datetime.fromisoformat(found[name]) if found.get(name) else None for name in DATES}
    suspects = [one | {"at": datetime.fromisoformat(one["at"])} for one in found["suspects"]]
    tone = TONES[found["confidence"]]
    return found | times | {"suspects": suspects, "tone": tone, "word": WORDS[found["confidence"]]}


DATES = ("start", "end", "at", "onset")


def panel(request: HttpRequest, name: str, incident: Incident, title: str, context: dict[str, Any]) -> HttpResponse:
    """The panel alone where htmx asks for it, else a page of its own."""
    template = f"incidents/triage/{name}.html"
    context |= {"incident": incident, "title": title}
    if request.headers.get("HX-Request"):
        return render(request, template, context)
    return render(request, "incidents/triage/page.html", context | {"template": template})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def incident_triage(request: HttpRequest, pk: int) -> HttpResponse:
    """The decision tree on the incident's telemetry; POST decides. `mode`: whose blast radius; `decision`: the
    evidence of an earlier decision, as it was.
    """
    incident, now = get_incident(person_of(request), pk), timezone.now()
    if request.method == "POST":
        return _decide(request, incident, now)
    context: dict[str, Any] = {"may_work": can(request.user, "incident.work", incident.team)}
    context |= {"choices": FailureMode.choices, "decided": _decision(incident)}
    if number := whole_number(request.GET.get("decision", "")):
        kept = incident.timeline.filter(data__has_key="triage").select_related("author")
        entry = get_object_or_404(kept, source_key=f"triage:{number}")
        context |= {"found": dated(entry.data["triage"]), "entry": entry, "may_work": False}
        return panel(request, "triage", incident, "Triage", context)
    mode = request.GET.get("mode", "")
    mode = mode if mode in FailureMode.values else ""
    try:
        found = shown(assessed(incident, now), scope=scope_of(incident), team=_slug(incident), mode=mode)
        context |= {"found": dated(found), "mode": mode}
    except QueryError as error:
        context["problem"] = str(error)
    return panel(request, "triage", incident, "Triage", context)


def _slug(incident: Incident) -> str:
    return incident.team.slug if incident.team else ""


def _decision(incident: Incident) -> TimelineEntry | None:
    """The entry of the decision in force, if there is one."""
    if not incident.failure_mode:
        return None
    entries = incident.timeline.filter(kind=TimelineEntry.Kind.TRIAGE, struck_at=None).select_related("author")
    return entries.order_by("-at", "-id").first()


def _decide(request: HttpRequest, incident: Incident, now: datetime) -> HttpResponse:
    require(request.user, "incident.work", incident.team)
    mode = text_of(request, "mode")
    if mode and mode not in FailureMode.values:
        messages.error(request, "Choose one of the failure modes.")
        return redirect("incident-triage", incident.pk)
    try:
        found = (
            shown(assessed(incident, now), scope=scope_of(incident), team=_slug(incident), mode=mode) if mode else {}
        )
    except QueryError:
        found = {}  # a person decides without figures too
    version = whole_number(text_of(request, "version"))
    try:
        choose_mode(author=author_of(request), incident=incident, mode=mode, found=found, at=now, version=version)
    except Changed:
        messages.error(request, "Somebody changed the incident meanwhile. Look again, then decide.")
        return redirect(f"{reverse('incident-detail', args=[incident.pk])}#triage")
    if mode:
        messages.success(request, f"{FailureMode(mode).label}. The evidence is kept in the timeline as it is now.")
    else:
        messages.success(request, "The failure mode is open again.")
    return redirect(f"{reverse('incident-detail', args=[incident.pk])}#{'mitigations' if mode else 'triage'}")


@login_required
@require_safe
def triage_window(request: HttpRequest) -> HttpResponse:
    """Triage of the window and filters of any page, without an incident."""
    scope = Scope.from_request(request, default_range="1h")
    filters = {name: list(values) for name, values in scope.filters.items()}
    context: dict[str, Any] = {"scope": scope, "choices": FailureMode.choices}
    mode = request.GET.get("mode", "")
    mode = mode if mode in FailureMode.values else ""
    try:
        found = assess(team_ids=scope.team_ids, scope=filters, start=scope.start, end=scope.end, at=timezone.now())
    except QueryError as error:
        return render(request, "incidents/triage/window.html", context | {"problem": str(error)})
    slug = scope.team.slug if scope.team else ""
    context |= {"found": dated(shown(found, scope=filters, team=slug, mode=mode)), "mode": mode}
    context |= {"offered": mitigations(found, mode, filters)[:OFFERED] if found.confidence != "none" else []}
    context["declare_url"] = _declare_url(scope, found)
    return render(request, "incidents/triage/window.html", context)


@login_required
@require_safe
def triage_alert(request: HttpRequest, pk: int) -> HttpResponse:
    """Leads to triage of an alert's window: from shortly before it fired until it ended, narrowed as it is."""
    alert = get_object_or_404(visible_alerts(person_of(request)), pk=pk)
    pairs = [
        ("from", formats.iso(alert.started_at - BEFORE_ALERT)),
        ("to", formats.iso(alert.resolved_at or timezone.now())),
    ]
    pairs += [("team", alert.team.slug)] if alert.team else []
    pairs += [(name, str(value)) for name, value in alert.labels.items() if name in FILTERS and value]
    return redirect(f"{reverse('triage-window')}?{urlencode(pairs)}")


def _declare_url(scope: Scope, found: Assessment) -> str:
    """The declare page with what triage found filled in."""
    values = found.radius.values if found.radius and found.confidence != "none" else {}
    narrowed = {name: values[name][0] for name in ("feature", "provider", "model", "tenant") if values.get(name)}
    title = {"title": found.first.mode.label} if found.confidence != "none" else {}
    since = found.onset.at if found.onset else scope.start
    return scope.url(
        reverse("incident-declare"), range=None, from_=None, to=None, mode=None, since=since, **title, **narrowed
    )
