"""Messages of an incident, and the facts that fill a draft."""

from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from accounts.models import User
from incidents.models import Incident, IncidentRole, Message, TimelineEntry
from incidents.queries.impact import Impact, impact_of
from incidents.rules.messages import Facts
from usage.metrics import QueryError

MITIGATIONS = 5
HITS = 3
PROMISED = {1: timedelta(minutes=30), 2: timedelta(minutes=60)}  # by severity: when the next update is promised
LEADING = (IncidentRole.Role.COMMANDER, IncidentRole.Role.COMMUNICATIONS)


def messages_of(incident: Incident) -> QuerySet[Message]:
    return (
        Message.objects.filter(incident=incident)
        .exclude(state=Message.State.DISCARDED)
        .select_related("author", "approved_by", "sent_by")
    )


def leads(incident: Incident, user: User) -> bool:
    """Whether the person commands or communicates now."""
    return IncidentRole.objects.filter(incident=incident, user=user, until=None, role__in=LEADING).exists()


def facts_of(incident: Incident, now: datetime) -> Facts:
    """What is known of the incident, for a draft; figures from the metric query."""
    impact = _impact(incident, now)
    done = incident.timeline.filter(kind=TimelineEntry.Kind.MITIGATION, struck_at=None, at__lte=now).order_by("-at")
    commander = incident.roles.filter(role=IncidentRole.Role.COMMANDER, until=None).select_related("user").first()
    return Facts(
        number=incident.number,
        title=incident.title,
        severity=incident.get_severity_display(),
        state=incident.get_state_display(),
        since=incident.impact_started_at.astimezone(UTC),
        now=now.astimezone(UTC),
        failure_mode=incident.failure_mode,
        failure_mode_label=incident.get_failure_mode_display() if incident.failure_mode else "",
        scope="; ".join(f"{name} {', '.join(values)}" for name, values in incident.scope.items()),
        mitigations=[entry.text for entry in reversed(done[:MITIGATIONS])],
        mitigated_at=incident.mitigated_at,
        resolved_at=incident.resolved_at,
        next_update=PROMISED.get(incident.severity),
        commander=str(commander.user) if commander else "",
        **(_figures(impact) if impact else {}),
    )


def _impact(incident: Incident, now: datetime) -> Impact | None:
    try:
        return impact_of(incident, now)
    except QueryError:
        return None


def _figures(impact: Impact) -> dict:
    worst = [hit.name for _, hits in impact.groups for hit in hits[:HITS]] if impact.by_failures else []
    return {
        "noun": impact.where.noun,
        "requests": impact.requests,
        "failing": impact.rate,
        "usual": impact.usual_rate,
        "worst": worst,
        "cost": impact.cost.spent,
        "extra_cost": impact.cost.extra,
    }
