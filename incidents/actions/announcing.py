"""Telling the channels of a team about its incidents. Of private and made-up ones they are told nothing."""

from datetime import datetime

from django.urls import reverse

from incidents.actions.notifying import OF_INCIDENT, notify
from incidents.models import Incident

MADE_UP = ("demo",)  # what a demo says to have happened is no news


def announce(
    incident: Incident,
    *,
    kind: str,
    title: str,
    body: str,
    key: str,
    at: datetime,
    pages: bool = True,
    url: str = "",
) -> int:
    """Write deliveries in the caller's transaction; how many are new. `kind` is of `notify`, `key` within the incident.

    The severity says where it goes; what would page goes where tickets go if `pages` is False.
    """
    if incident.is_private or incident.source_kind in MADE_UP:
        return 0
    route, severity = OF_INCIDENT[incident.severity]
    return notify(
        kind=kind,
        team=incident.team,
        severity=severity,
        route=route if pages or route != "page" else "ticket",
        title=f"[drill] {title}" if incident.is_drill else title,
        body=body,
        url=url or reverse("incident-detail", args=[incident.pk]),
        key=f"incident:{incident.pk}:{key}",
        at=at,
        incident=incident,
    )


def announce_severity(incident: Incident, at: datetime) -> int:
    """That it became worse: once for each severity."""
    name = incident.get_severity_display()
    title = f"Now {name}, {incident.number}: {incident.title}"
    return announce(incident, kind="incident", title=title, body=incident.summary, key=name, at=at)


def announce_end(incident: Incident, text: str, at: datetime) -> int:
    """That it is resolved; again where it was reopened in between."""
    title = f"Resolved: {incident.number} {incident.title}"
    key = f"resolved:{incident.version}"
    return announce(incident, kind="resolved", title=title, body=text, key=key, at=at, pages=False)
