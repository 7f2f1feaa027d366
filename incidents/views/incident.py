"""The page of one incident and its parts, each with its own address."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can, person_of
from incidents.actions.incidents import moments_of
from incidents.models import Incident
from incidents.queries.incidents import get_incident
from incidents.rules.states import clocks

# Panels in the order in which a bad night needs them: name, heading, the skeleton it replaces.
PANELS = (
    ("triage", "Triage", "table"),
    ("mitigations", "Mitigations", "table"),
    ("watch", "Did it help?", "chart"),
    ("runbook", "Runbook", "table"),
    ("messages", "Messages", "table"),
)


def panels_of(incident: Incident) -> list[tuple[str, str, str, str]]:
    """(name, heading, skeleton, address) of every panel that this desk has."""
    found = []
    for name, title, skeleton in PANELS:
        try:
            found.append((name, title, skeleton, reverse(f"incident-{name}", args=[incident.pk])))
        except NoReverseMatch:
            continue
    return found


@login_required
@require_safe
def incident_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One incident: what, since when, who works on it, everything that happened."""
    user = person_of(request)
    incident = get_incident(user, pk)
    return render(
        request,
        "incidents/incident.html",
        {
            "incident": incident,
            "clocks": clocks(moments_of(incident)),
            "may_work": can(user, "incident.work", incident.team),
            "panels": panels_of(incident),
            "entries": incident.timeline.select_related("author").order_by("-at", "-id")[:50],
            "now": timezone.now(),
        },
    )
