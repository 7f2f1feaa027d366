"""What the public status page shows, read from the database: components, their state and days, public messages.

Nothing else leaves: no team, tenant, feature or provider, no title of an incident, nothing of private ones and drills.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from incidents.models import Incident, Message, StatusComponent
from incidents.queries.slices import filters_of
from incidents.rules import status_page as rules
from incidents.rules.status_page import Span
from incidents.rules.touching import touches

WINDOW = timedelta(days=rules.DAYS)
PAST = 20  # incidents of the history
UPDATES = 200


def public_incidents() -> QuerySet[Incident]:
    """Those that people outside may know of at all."""
    return Incident.objects.filter(is_private=False, is_drill=False)


def snapshot(now: datetime) -> dict[str, Any]:
    """JSON-able: {generated_at, state, components: […], incidents: […]}; times in ISO 8601, UTC."""
    recent = list(public_incidents().filter(Q(resolved_at=None) | Q(resolved_at__gte=now - WINDOW)))
    components = list(StatusComponent.objects.all())
    shown = [_component(one, [i for i in recent if touches_component(i, one)], now) for one in components]
    return {
        "generated_at": now.isoformat(),
        "state": rules.worst(one["state"] for one in shown),
        "components": shown,
        "incidents": _told(components),
    }


def touches_component(incident: Incident, component: StatusComponent) -> bool:
    if component.team_id and incident.team_id and component.team_id != incident.team_id:
        return False
    return touches(filters_of(incident.scope), filters_of(component.filters))


def _component(component: StatusComponent, incidents: list[Incident], now: datetime) -> dict[str, Any]:
    spans = [_span(incident, now) for incident in incidents]
    days = rules.days_of(spans, min([component.created_at, *(span.start for span in spans)]), now)
    return {
        "name": component.name,
        "description": component.description,
        "state": rules.state_of(spans),
        "uptime": rules.uptime(days),
        "days": [
            {"day": day.day.isoformat(), "uptime": day.uptime, "down": day.down, "degraded": day.degraded}
            for day in days
        ],
    }


def _span(incident: Incident, now: datetime) -> Span:
    end = incident.mitigated_at or incident.resolved_at or now
    start = min(incident.impact_started_at, end)
    return Span(start, end, incident.severity, incident.is_open, incident.mitigated_at is not None)


def _told(components: list[StatusComponent]) -> list[dict[str, Any]]:
    """Incidents of which a message was published, the last told first, each with its messages."""
    sent = Message.objects.filter(kind=Message.Kind.STATUS, state=Message.State.SENT, incident__in=public_incidents())
    updates: dict[Incident, list[Message]] = defaultdict(list)
    for message in sent.select_related("incident").order_by("-sent_at", "-id")[:UPDATES]:
        updates[message.incident].append(message)
    return [_incident(incident, found, components) for incident, found in list(updates.items())[:PAST]]


def _incident(incident: Incident, updates: list[Message], components: list[StatusComponent]) -> dict[str, Any]:
    """`id` is that of its first message, so that it says nothing of how many incidents there are."""
    return {
        "id": f"s{updates[-1].pk}",
        "title": updates[0].subject,
        "state": "resolved" if not incident.is_open else "monitoring" if incident.mitigated_at else "investigating",
        "started_at": incident.impact_started_at.isoformat(),
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "components": [one.name for one in components if touches_component(incident, one)],
        "updates": [{"at": _iso(one.sent_at), "title": one.subject, "text": one.body} for one in updates],
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
