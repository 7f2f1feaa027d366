"""Who may be given a part in an incident, and who owns what it is about."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import User
from accounts.rules import CAPABILITIES
from incidents.models import Incident, IncidentLink, IncidentRole, Responsibility
from incidents.queries.incidents import visible_incidents


def workers_of(incident: Incident) -> QuerySet[User]:
    """People who may work incidents of its team."""
    roles = CAPABILITIES["incident.work"].roles
    where = Q(memberships__team=None) | (Q(memberships__team=incident.team) if incident.team else Q(pk__in=[]))
    held = Q(memberships__role__in=roles) & Q(memberships__isnull=False) & where
    return User.objects.filter(Q(is_superuser=True) | held, is_active=True).distinct().order_by("email")


@dataclass(frozen=True)
class Held:
    """A role and who holds it; None: nobody."""

    role: str
    label: str
    user: User | None


def roles_of(incident: Incident) -> list[Held]:
    held = {one.role: one.user for one in incident.roles.filter(until=None).select_related("user")}
    return [Held(value, label, held.get(value)) for value, label in IncidentRole.Role.choices]


def owners_of(incident: Incident) -> list[tuple[str, list[Responsibility]]]:
    """(duty, who) of the incident's team and features: a feature's own owners, else the team's."""
    if incident.team_id is None:
        return []
    features = incident.scope.get("feature", [])
    rows = list(Responsibility.objects.filter(team=incident.team_id).select_related("user"))
    own = [row for row in rows if row.feature and row.feature in features]
    found = []
    for duty, label in Responsibility.Duty.choices:
        named = [row for row in own if row.duty == duty] or [r for r in rows if r.duty == duty and not r.feature]
        if named:
            found.append((label, named))
    return found


def parts_with(incident: Incident, user: User) -> list[Incident]:
    """Of the one that leads a cause over several teams its parts, of a part the others: those that the user sees."""
    lead = incident.part_of_id or incident.pk
    return list(visible_incidents(user).filter(part_of=lead).exclude(pk=incident.pk).order_by("severity", "pk"))


def linked_to(incident: Incident, user: User) -> list[Incident]:
    """Linked incidents that the user sees."""
    pairs = IncidentLink.objects.filter(Q(first=incident) | Q(second=incident)).values_list("first", "second")
    others = {pk for pair in pairs for pk in pair} - {incident.pk}
    return list(visible_incidents(user).filter(pk__in=others).order_by("-detected_at"))
