"""One cause over several teams: a provider that fails for two of them is one incident of the organisation.

It leads; each team's own incident becomes a part of it. So nobody reads of a team that is not theirs, what concerns all
is worked on once, and people who were paged for one part are not paged for the next.
"""

from datetime import datetime, timedelta

from django.db.models import Min, QuerySet
from django.urls import reverse

from accounts.actions import Author
from accounts.models import Team
from incidents.actions.announcing import announce
from incidents.actions.incidents import declare_incident, locked, store
from incidents.actions.timeline import record
from incidents.models import AlertGroup, Incident, Runbook, TimelineEntry
from incidents.queries.channels import channels_for
from incidents.queries.escalations import policy_for
from incidents.queries.oncall import on_call

TOGETHER = timedelta(minutes=30)  # incidents so near to each other make a lead; while it is open others join any time
SOURCE = "shared_cause"
DESK = Author(label="alert rules")


def join_shared(incident: Incident, cause: str, provider: str, at: datetime) -> Incident | None:
    """Make a team's incident a part of the one that leads its cause, which is declared where another team has it too.

    cause: the key of its alert group; provider: that of its alert. Returns the lead; None where there is no other
    team. Private incidents and drills stay by themselves. The caller holds the turn of alerts.
    """
    if incident.team_id is None or not _may_join(Incident.objects.filter(pk=incident.pk)).exists():
        return None
    key = f"{cause}:{provider}"[:200]
    lead = Incident.objects.filter(source_kind=SOURCE, source_key=key, resolved_at=None, is_private=False).first()
    others = [] if lead else list(_others(incident, cause, provider, at))
    if lead is None and not others:
        return None
    lead = lead or _declare([*others, incident], cause, provider, key, at)
    for part in [*others, incident]:
        _join(lead, part, provider, at)
    return lead


def _may_join(incidents: QuerySet[Incident]) -> QuerySet[Incident]:
    return incidents.filter(resolved_at=None, is_private=False, is_drill=False, merged_into=None, part_of=None)


def _others(incident: Incident, cause: str, provider: str, at: datetime) -> QuerySet[Incident]:
    """Open incidents of other teams that the same provider's alerts declared just now."""
    groups = AlertGroup.objects.filter(key=cause, alerts__labels__provider=provider, incident__isnull=False)
    near = _may_join(Incident.objects.filter(pk__in=groups.values("incident"), detected_at__gte=at - TOGETHER))
    return near.exclude(team=incident.team_id).exclude(team=None).select_related("team").order_by("pk")


def _declare(parts: list[Incident], cause: str, provider: str, key: str, at: datetime) -> Incident:
    runbook = Runbook.objects.filter(slug=cause).first()
    lead = declare_incident(
        author=DESK,
        team=None,
        title=f"{provider}: {runbook.title if runbook else cause}, several teams",
        severity=min(part.severity for part in parts),
        at=at,
        impact_started_at=min(part.impact_started_at for part in parts),
        summary="The same provider fails for several teams. Each has its own incident, which is a part of this one.",
        failure_mode=next((part.failure_mode for part in parts if part.failure_mode), ""),
        scope={"provider": [provider]},
        source_kind=SOURCE,
        source_key=key,
    )
    title = f"{lead.number}: {lead.title}"
    announce(lead, kind="incident", title=title, body=lead.summary, key="shared", at=at, pages=False)
    return lead


def _join(lead: Incident, part: Incident, provider: str, at: datetime) -> None:
    """Lead first, then the part: the order in which whoever acts on both locks them."""
    with locked(lead) as leading, locked(part) as current:
        store(current, DESK, "incident.join", {"part_of": leading})
        text = f"Part of {leading.number}: {provider} fails for other teams too"
        _note(current, text, at, key=f"part:{leading.pk}")  # no link: few of its readers may follow it
        url = reverse("incident-detail", args=[current.pk])
        _note(leading, f"{current.number} of {current.team} is a part of it", at, key=f"part:{current.pk}", url=url)
        _worst_of_all(leading)


def _note(incident: Incident, text: str, at: datetime, *, key: str, url: str = "") -> None:
    record(incident, TimelineEntry.Kind.STATE, text, at=at, url=url, source_key=key)


def _worst_of_all(lead: Incident) -> None:
    """It is as severe as its worst part, and began with the first."""
    parts = lead.parts.aggregate(severity=Min("severity"), impact_started_at=Min("impact_started_at"))
    worse = {name: value for name, value in parts.items() if value < getattr(lead, name)}
    if worse:
        store(lead, DESK, "incident.edit", worse)


# --- Who was paged already --------------------------------------------------------------------------------------
def was_paged_for(group: AlertGroup, severity: str, at: datetime) -> bool:
    """Whether everybody a page of this group would reach was paged for another part of the same incident."""
    if group.incident is None or group.incident.part_of_id is None or group.notified_route == "page":
        return False
    paged = AlertGroup.objects.filter(incident__part_of=group.incident.part_of_id, notified_route="page")
    return any(_reached(group.team, one.team, severity, at) for one in paged.select_related("team"))


def _reached(team: Team | None, by: Team | None, severity: str, at: datetime) -> bool:
    """Whether a page for one team reaches nobody whom that for the other did not: channels, on-call, escalation."""
    channels = [set(channels_for(one, severity, "page").values_list("pk", flat=True)) for one in (team, by)]
    people = [{user.pk for user in on_call(one, at)} for one in (team, by)]
    policy = policy_for(team)
    return channels[0] <= channels[1] and people[0] <= people[1] and policy in (None, policy_for(by))
