"""Reads of escalations: policies, what runs, and whether it was answered."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import Team, User
from incidents.models import Escalation, EscalationPolicy
from incidents.queries.incidents import visible_incidents


@dataclass(frozen=True)
class Answer:
    """Why an escalation is over and who answered it; `over` empty: it is not."""

    over: str = ""
    by: User | None = None


def policy_for(team: Team | None) -> EscalationPolicy | None:
    """The team's own, else that for every team; None where pages do not climb."""
    found = {one.team_id: one for one in EscalationPolicy.objects.filter(Q(team=team) | Q(team=None))}
    return found.get(team.pk if team else None) or found.get(None)


def visible_policies(user: User) -> QuerySet[EscalationPolicy]:
    """Of the user's teams and that for every team, with their steps."""
    found = EscalationPolicy.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None))
    return found.select_related("team").prefetch_related("steps__rota", "steps__user").order_by("team__name")


def visible_escalations(user: User) -> QuerySet[Escalation]:
    """Of the user's teams, and the organisation's for its roles; those of private incidents for who sees them."""
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    open_to = Q(incident=None) | Q(incident__is_private=False) | Q(incident__in=visible_incidents(user).values("pk"))
    found = Escalation.objects.filter(mine & open_to)
    return found.select_related("team", "incident", "acknowledged_by").prefetch_related("history")


def state_of(escalation: Escalation) -> Answer:
    """Whether what it is about was acknowledged or is over, by what stands in the database."""
    incident, group = escalation.incident, escalation.alert_group
    if incident and not incident.is_open:
        return Answer("The incident is over.")
    if incident and incident.acknowledged_at:
        return Answer("The incident is acknowledged.")
    if group is None:
        return Answer()
    if group.closed_at:
        return Answer("Nothing fires any more.")
    firing = list(group.alerts.filter(resolved_at=None).select_related("acknowledged_by"))
    if firing and all(one.acknowledged_at for one in firing):
        last = max(firing, key=lambda one: one.acknowledged_at or escalation.started_at)
        return Answer(f"{last.acknowledged_by or 'Somebody'} acknowledged it.", last.acknowledged_by)
    return Answer()
