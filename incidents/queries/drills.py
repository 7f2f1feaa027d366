"""Reads of drills: those a person may see, those that run, and what people did about a fault."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min, Q, QuerySet
from django.db.models.functions import Greatest

from accounts.access import visible_teams
from accounts.models import User
from incidents.models import Alert, Control, Drill, Incident, TimelineEntry
from usage.measures import DRILL_ENVIRONMENT


@dataclass(frozen=True)
class Reaction:
    """What is on record about a drill's fault so far; None is not yet."""

    incident: Incident | None
    detected_at: datetime | None
    acknowledged_at: datetime | None
    classified_at: datetime | None
    classified_as: str
    mitigated_at: datetime | None


def visible_drills(user: User) -> QuerySet[Drill]:
    return Drill.objects.filter(team__in=visible_teams(user)).select_related("team", "incident", "started_by")


def running_game_days() -> list[Drill]:
    running = Drill.objects.filter(state=Drill.State.RUNNING, kind=Drill.Kind.GAME_DAY)
    return list(running.select_related("team", "api_key", "incident"))


def alerts_of(drill: Drill) -> QuerySet[Alert]:
    """Alerts on the drill's telemetry, from the fault on."""
    until = drill.ended_at or drill.ends_at
    return Alert.objects.filter(
        team=drill.team,
        labels__environment=DRILL_ENVIRONMENT,
        started_at__gte=drill.fault_at,
        started_at__lte=until,
    )


def controls_of(drill: Drill) -> QuerySet[Control]:
    """Controls that people set over the drill's calls; normal mode mitigates nothing."""
    mine = Control.objects.filter(Q(team=drill.team) | Q(team=None), environment=DRILL_ENVIRONMENT)
    return mine.filter(created_at__gte=drill.fault_at).exclude(mode="normal").order_by("created_at")


def reaction(drill: Drill, now: datetime) -> Reaction:
    incident = drill.incident or _incident_of(drill)
    # An alert begins when its condition does; people hear of it when it fires and opens its group.
    alerts = alerts_of(drill).aggregate(
        fired=Min(Greatest("started_at", "group__opened_at")), seen=Min("acknowledged_at")
    )
    mode = incident.failure_mode if incident else ""
    first = controls_of(drill).first()
    return Reaction(
        incident,
        _earliest(alerts["fired"], incident.detected_at if incident else None),
        _earliest(alerts["seen"], incident.acknowledged_at if incident else None),
        _classified_at(drill, incident, now) if incident and mode else None,
        mode,
        _earliest(first.created_at if first else None, incident.mitigated_at if incident else None),
    )


def _classified_at(drill: Drill, incident: Incident, now: datetime) -> datetime:
    """When people decided; the moment it is first seen where the timeline does not say."""
    if drill.classified_at and drill.classified_as == incident.failure_mode:
        return drill.classified_at
    decided = incident.timeline.filter(kind=TimelineEntry.Kind.TRIAGE, struck_at=None, at__gte=drill.fault_at)
    return decided.order_by("-at").values_list("at", flat=True).first() or now


def _incident_of(drill: Drill) -> Incident | None:
    since = Incident.objects.filter(team=drill.team, is_drill=True, detected_at__gte=drill.fault_at)
    return since.order_by("detected_at").first()


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((at for at in moments if at), default=None)
