"""Reads of alerts."""

from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import User
from incidents.models import Alert


def visible_alerts(user: User) -> QuerySet[Alert]:
    """Of the user's teams; those of the organisation for organisation-wide roles."""
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    return Alert.objects.filter(mine).select_related("team")
