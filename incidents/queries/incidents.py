"""Reads of incidents."""

from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import User
from incidents.models import Incident


def visible_incidents(user: User) -> QuerySet[Incident]:
    """Of the user's teams, and the organisation's for organisation-wide roles.

    A private one is seen by who declared it, who has a role in it, and who may read security's.
    """
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    seen = Incident.objects.filter(mine).select_related("team")
    if can(user, "incident.private"):
        return seen
    return seen.filter(
        Q(is_private=False) | Q(declared_by=user) | Q(pk__in=Incident.objects.filter(roles__user=user).values("pk"))
    )
