"""Which budgets a person sees. A team's are its members'; the organisation's are those of organisation-wide roles."""

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404

from accounts.access import can, visible_teams
from budgets.models import Budget, PendingChange


def sees_organisation(user) -> bool:
    """Whether the user may see figures of the organisation as a whole."""
    return can(user, "team.view")


def visible_budgets(user) -> QuerySet[Budget]:
    """Budgets the user may see, ended ones too."""
    mine = Q(team__in=visible_teams(user))
    mine |= Q(team=None) if sees_organisation(user) else Q()
    return Budget.objects.filter(mine).select_related("team", "owner").prefetch_related("thresholds")


def get_budget(user, pk: int) -> Budget:
    """The budget. Raises Http404 when it does not exist or is not the user's to see."""
    return get_object_or_404(visible_budgets(user), pk=pk)


def waiting_changes(user) -> QuerySet[PendingChange]:
    """Changes that wait for a second person, of budgets the user may see; oldest first."""
    return (
        PendingChange.objects.filter(budget__in=visible_budgets(user), state=PendingChange.State.WAITING)
        .select_related("budget__team", "budget__owner", "requested_by")
        .prefetch_related("budget__thresholds")
        .order_by("requested_at")
    )
