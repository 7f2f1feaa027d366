"""Change markers: recording them and finding those of a window."""

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from accounts.actions import audit
from accounts.models import ApiKey, Team, User
from usage.models import ChangeMarker


def changes_between(
    team_ids: Iterable[int], start: datetime, end: datetime, filters: dict[str, tuple[str, ...]] | None = None
) -> QuerySet[ChangeMarker]:
    """Markers of these teams (and of all teams) in [start, end), newest first.

    With filters on environment or feature, those that name another one are left out.
    """
    found = ChangeMarker.objects.filter(Q(team__in=list(team_ids)) | Q(team=None), at__gte=start, at__lt=end)
    for name in ("environment", "feature"):
        if wanted := (filters or {}).get(name):
            found = found.filter(Q(**{f"{name}__in": [*wanted, ""]}))
    return found.select_related("team", "created_by")


def record_change(
    *,
    team: Team | None,
    at: datetime,
    kind: str,
    title: str,
    actor: User | None = None,
    api_key: ApiKey | None = None,
    idempotency_key: str | None = None,
    request=None,
    **details: str,
) -> tuple[ChangeMarker, bool]:
    """Write a marker and its audit entry; returns it and whether it is new.

    A second call with the same team and idempotency_key returns the first marker. `details`: description, ref,
    environment, service, feature, url.
    """
    if idempotency_key and (there := ChangeMarker.objects.filter(team=team, idempotency_key=idempotency_key).first()):
        return there, False
    try:
        with transaction.atomic():
            change = ChangeMarker.objects.create(
                team=team, at=at, kind=kind, title=title, created_by=actor, idempotency_key=idempotency_key, **details
            )
            _audit(change, "change.added", actor, api_key, request, after=facts(change))
    except IntegrityError:
        if there := ChangeMarker.objects.filter(team=team, idempotency_key=idempotency_key).first():
            return there, False
        raise
    return change, True


def remove_change(change: ChangeMarker, *, actor: User, request=None) -> None:
    """Delete a marker set by mistake; the audit entry keeps what it said."""
    with transaction.atomic():
        _audit(change, "change.removed", actor, None, request, before=facts(change))
        change.delete()


def facts(change: ChangeMarker) -> dict[str, str]:
    """What a marker says, for the audit log and the API."""
    names = ("kind", "title", "description", "ref", "environment", "service", "feature", "url")
    return {"at": change.at.isoformat(), **{name: value for name in names if (value := getattr(change, name))}}


def _audit(change, action, actor, api_key, request, **values) -> None:
    label = f"key {api_key.name} ({api_key.prefix}…)" if api_key else ""
    audit(actor=actor, action=action, target=str(change), team=change.team, request=request, label=label, **values)
