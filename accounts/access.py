"""The one place that decides who sees and does what.

A stranger to a team gets 404 (it may as well not exist); a member without the right gets 403 with a page
that says who can grant it.
"""

from typing import TypeGuard, cast

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from accounts.models import Role, Scope, Team, User
from accounts.rules import CAPABILITIES, SCOPE_NEEDS


class MissingRight(PermissionDenied):
    """403 that knows which right was missing and where, for the page that says who can grant it."""

    def __init__(self, capability: str, team: Team | None):
        self.capability, self.team = capability, team
        where = f"in {team.name}" if team else "in the whole organisation"
        super().__init__(f"You need the right to {CAPABILITIES[capability].label} {where}.")


def _is_person(user) -> TypeGuard[User]:
    return user is not None and user.is_authenticated and user.is_active


def visible_teams(user) -> QuerySet[Team]:
    """Teams the user may see: those of their memberships; all of them with an organisation-wide one."""
    if not _is_person(user):
        return Team.objects.none()
    if user.is_superuser or None in user.roles_by_team:
        return Team.objects.all()
    return Team.objects.filter(pk__in=list(user.roles_by_team))


def get_team(user, slug: str) -> Team:
    """The team of that slug. Raises Http404 when it does not exist or is not the user's to see."""
    return get_object_or_404(visible_teams(user), slug=slug)


def can(user, capability: str, team: Team | None = None) -> bool:
    """Whether the user holds the right in `team`; without a team, in the organisation as a whole.

    An organisation-wide role counts in every team; a team's role counts in that team only.
    Raises KeyError for a capability that does not exist, so that a typo is not a silent "no".
    """
    allowed = CAPABILITIES[capability].roles
    if not _is_person(user):
        return False
    if user.is_superuser:
        return True
    held = user.roles_by_team.get(None, frozenset())
    if team is not None:
        held |= user.roles_by_team.get(team.pk, frozenset())
    return bool(allowed & held)


def can_anywhere(user, capability: str) -> bool:
    """Whether the user holds the right in the organisation or in at least one team."""
    allowed = CAPABILITIES[capability].roles
    return _is_person(user) and (user.is_superuser or any(allowed & held for held in user.roles_by_team.values()))


def person_of(request: HttpRequest) -> User:
    """The signed-in person of a view behind `login_required`."""
    return cast(User, request.user)


def teams_where(user, capability: str) -> QuerySet[Team]:
    """Visible teams in which the user holds the right."""
    if can(user, capability):
        return visible_teams(user)
    allowed = CAPABILITIES[capability].roles
    held = user.roles_by_team if _is_person(user) else {}
    return Team.objects.filter(pk__in=[team for team, roles in held.items() if team and allowed & roles])


def require(user, capability: str, team: Team | None = None) -> None:
    """Raises MissingRight (403) unless `can`."""
    if not can(user, capability, team):
        raise MissingRight(capability, team)


def grantable_scopes(user, team: Team) -> list[str]:
    """API key scopes the user may give away in `team`: no key may do what its maker may not."""
    return [scope for scope in Scope.values if scope not in SCOPE_NEEDS or can(user, SCOPE_NEEDS[scope], team)]


def grantors(team: Team | None) -> QuerySet[User]:
    """People who can give someone a role in `team`: its admins, the organisation's, and superusers."""
    where = Q(memberships__team=None) | Q(memberships__team=team) if team else Q(memberships__team=None)
    admins = Q(memberships__role=Role.ADMIN) & Q(memberships__isnull=False) & where
    return User.objects.filter(Q(is_superuser=True) | admins, is_active=True).distinct().order_by("email")
