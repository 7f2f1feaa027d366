"""The timeline that writes itself: what happens round an open incident, told once however often one looks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from accounts.models import Team
from incidents.actions.timeline import record
from incidents.models import Control, Incident, TimelineEntry
from incidents.queries.slices import filters_of
from incidents.rules.touching import touches
from usage.changes import changes_between
from usage.models import ChangeMarker
from usage.models.scopes import SCOPE_FIELDS

# A change so long before the impact may still be its cause.
CHANGES_BEFORE = timedelta(hours=2)
MOST = 500  # of each kind in one look
KEYS = ("control:", "change:")


@dataclass(frozen=True)
class Happening:
    """Something to be told: `key` names it, so that it is told once."""

    key: str
    kind: str
    at: datetime
    text: str
    url: str


def follow_open(now: datetime) -> int:
    """Bring the timelines of all open incidents up to date; returns how many entries were written."""
    return sum(follow(incident, now) for incident in Incident.objects.filter(resolved_at=None).select_related("team"))


def follow(incident: Incident, now: datetime) -> int:
    """Write what happened round an incident and is not in its timeline yet: controls set and ended, changes."""
    known = _known(incident)
    found = [one for one in (*_controls(incident, now), *_changes(incident, now)) if one.key not in known]
    with transaction.atomic():
        for one in found:
            record(incident, one.kind, one.text, at=one.at, url=one.url, source_key=one.key)
    return len(found)


def _known(incident: Incident) -> set[str]:
    starts = Q()
    for key in KEYS:
        starts |= Q(source_key__startswith=key)
    return set(TimelineEntry.objects.filter(starts, incident=incident).values_list("source_key", flat=True))


def _controls(incident: Incident, now: datetime) -> Iterator[Happening]:
    """Controls that touch the slice of the incident and were set or ended since its impact began."""
    since, until = incident.impact_started_at, incident.resolved_at or now
    inside = Q(created_at__range=(since, until)) | Q(ended_at__range=(since, until)) | Q(expires_at__range=(since, now))
    team = Q() if incident.team_id is None else Q(team=None) | Q(team=incident.team_id)
    url = reverse("control-list")
    for one in Control.objects.filter(inside, team).select_related("team", "created_by", "ended_by")[:MOST]:
        if not touches(filters_of(incident.scope), one.filters):
            continue
        if since <= one.created_at <= until:
            who = one.created_by or one.get_origin_display()
            yield _mitigation(f"control:{one.pk}:set", one.created_at, f"{one} is in force ({who}: {one.reason})", url)
        if one.ended_at and since <= one.ended_at <= until:
            text = f"{one} ended ({one.ended_by or 'the desk'}: {one.ended_reason})"
            yield _mitigation(f"control:{one.pk}:ended", one.ended_at, text, url)
        elif one.ended_at is None and one.expires_at and since <= one.expires_at <= now:
            yield _mitigation(f"control:{one.pk}:ended", one.expires_at, f"{one} has expired", url)


def _mitigation(key: str, at: datetime, text: str, url: str) -> Happening:
    return Happening(key, TimelineEntry.Kind.MITIGATION, at, text, url)


def _changes(incident: Incident, now: datetime) -> Iterator[Happening]:
    """Change markers from shortly before the impact on; controls have told theirs themselves."""
    start, end = incident.impact_started_at - CHANGES_BEFORE, incident.resolved_at or now
    teams = [incident.team_id] if incident.team_id else Team.objects.values_list("pk", flat=True)
    filters = {name: values for name, values in filters_of(incident.scope).items() if name in SCOPE_FIELDS}
    for one in changes_between(teams, start, end, filters)[:MOST]:
        if one.kind == ChangeMarker.Kind.POLICY and _is_of_a_control(one):
            continue
        where = f" ({one.team.name})" if one.team and incident.team_id is None else ""
        yield Happening(
            f"change:{one.pk}", TimelineEntry.Kind.CHANGE, one.at, f"{one}{where}", one.url or reverse("change-list")
        )


def _is_of_a_control(marker: ChangeMarker) -> bool:
    return Control.objects.filter(Q(created_at=marker.at) | Q(ended_at=marker.at)).exists()
