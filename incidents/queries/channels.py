"""Reads of channels, routes and deliveries."""

from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import Team, User
from incidents.models import Channel, Delivery, NotificationRoute
from incidents.rules.sending import severities_up_to


def visible_channels(user: User) -> QuerySet[Channel]:
    """Of the user's teams, the user's own, and the organisation's for organisation-wide roles."""
    of_all = Q(team=None, user=None) if can(user, "team.view") else Q(pk__in=[])
    mine = Q(team__in=visible_teams(user)) | Q(user=user) | of_all
    return Channel.objects.filter(mine).select_related("team", "user")


def visible_routes(user: User) -> QuerySet[NotificationRoute]:
    """Those of visible channels: of the user's teams and of every team."""
    mine = Q(team__in=visible_teams(user)) | Q(team=None)
    return NotificationRoute.objects.filter(mine, channel__in=visible_channels(user)).select_related("team", "channel")


def visible_deliveries(user: User) -> QuerySet[Delivery]:
    """Through visible channels, about the user's teams, the organisation's things, or the user's own channels."""
    about = Q(team__in=visible_teams(user)) | Q(channel__user=user) | Q(team=None)
    found = Delivery.objects.filter(about, channel__in=visible_channels(user))
    return found.select_related("channel", "team", "digest")


def channels_for(team: Team | None, severity: str, route: str) -> QuerySet[Channel]:
    """The active channels whose routes match, each once. The organisation's things match routes of every team."""
    routes = NotificationRoute.objects.filter(
        Q(team=team) | Q(team=None), Q(route=route) | Q(route=""), least_severity__in=severities_up_to(severity)
    )
    return Channel.objects.filter(pk__in=routes.values("channel"), is_active=True, user=None)
