"""Providers' limits: who sees them, and changing them with an audit entry in the same transaction."""

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.actions import audit
from accounts.models import User
from usage.models import ProviderLimit

FIGURES = ("requests_per_minute", "tokens_per_minute")


def visible_limits(user: User) -> QuerySet[ProviderLimit]:
    """Limits for all teams, and those of the teams the user sees."""
    found = ProviderLimit.objects.filter(Q(team=None) | Q(team__in=visible_teams(user)))
    return found.select_related("team", "created_by")


def save_limit(*, actor: User, limit: ProviderLimit, request=None) -> ProviderLimit:
    """Add or change a limit. Raises IntegrityError where the database refuses it; the form asks before."""
    with transaction.atomic():
        old = ProviderLimit.objects.select_for_update(of=("self",)).filter(pk=limit.pk).first()
        if old is None:
            limit.created_by = actor
        limit.save()
        _record("limit.changed" if old else "limit.added", limit, actor, request, old and facts(old), facts(limit))
    return limit


def remove_limit(*, actor: User, limit: ProviderLimit, request=None) -> None:
    """Take a limit away; the audit entry keeps what it was."""
    with transaction.atomic():
        _record("limit.removed", limit, actor, request, facts(limit), None)
        limit.delete()


def facts(limit: ProviderLimit) -> dict[str, str | int | None]:
    """The limit for the audit log."""
    names = ("provider", "model", "region", "environment", *FIGURES, "note")
    return {"team": limit.team.slug if limit.team else "all"} | {name: getattr(limit, name) for name in names}


def _record(action: str, limit: ProviderLimit, actor: User, request, before, after) -> None:
    audit(
        actor=actor, action=action, target=str(limit), team=limit.team, before=before, after=after, reason=limit.note,
        request=request,
    )  # fmt: skip
