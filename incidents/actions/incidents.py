"""Declaring incidents."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts.actions import Author, audit
from accounts.models import Team
from incidents.actions.timeline import record
from incidents.models import Incident, TimelineEntry


def declare_incident(
    *,
    author: Author,
    team: Team | None,
    title: str,
    severity: int,
    at: datetime,
    impact_started_at: datetime | None = None,
    summary: str = "",
    failure_mode: str = "",
    scope: dict[str, list[str]] | None = None,
    source_kind: str = "person",
    source_key: str = "",
    is_private: bool = False,
    is_drill: bool = False,
) -> Incident:
    """A new incident with its first timeline entry; of one `source_key` the one that is open already.

    `scope`: dimension → values, the slice it is about. `at` is when it was detected.
    """
    facts: dict[str, Any] = {"title": title[:200], "severity": severity, "summary": summary, "scope": scope or {}}
    facts |= {"failure_mode": failure_mode, "is_private": is_private, "is_drill": is_drill, "detected_at": at}
    facts |= {"impact_started_at": min(impact_started_at or at, at), "declared_by": author.user}
    source = {"source_kind": source_kind, "source_key": source_key}
    try:
        with transaction.atomic():
            incident = Incident.objects.create(team=team, **facts, **source)
            text = f"{incident.get_severity_display()} declared: {incident.title}"
            record(incident, TimelineEntry.Kind.DECLARED, text, at=at, author=author.user)
            audit(
                **author.signature, action="incident.declare", target=incident, team=team, after={"severity": severity}
            )
    except IntegrityError:
        return Incident.objects.get(**source, resolved_at=None)
    return incident
