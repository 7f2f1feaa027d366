"""Rate limits: adding and ending them. The guard follows with its next answer."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.actions import Author, audit
from accounts.models import Team
from budgets.models import RateLimit
from usage.models.scopes import SCOPE_FIELDS

AMOUNTS = ("requests_per_minute", "tokens_per_minute", "concurrency")


def add_limit(*, author: Author, team: Team | None, name: str, note: str = "", **fields: Any) -> RateLimit:
    """A new limit over a slice (SCOPE_FIELDS; absent: any), with its audit row.

    Raises ValidationError by field: it limits nothing, a number below 1, or a name that is taken.
    """
    limit = RateLimit(team=team, name=name.strip(), note=note.strip(), **fields)
    if all(getattr(limit, amount) is None for amount in AMOUNTS):
        raise ValidationError({AMOUNTS[0]: "Give at least one limit: requests, tokens or calls at once."})
    if low := [amount for amount in AMOUNTS if getattr(limit, amount) is not None and getattr(limit, amount) < 1]:
        raise ValidationError({low[0]: "This must be at least 1. To stop calls, use a kill switch or a breaker."})
    limit.clean_fields()
    try:
        with transaction.atomic():
            limit.save()
            _audit(limit, "rate_limit.added", author, after=facts(limit))
    except IntegrityError as exc:
        raise ValidationError({"name": "There is a limit of this name. Choose another, or end that one."}) from exc
    return limit


def end_limit(*, author: Author, limit: RateLimit, reason: str) -> RateLimit:
    """End a limit, with its audit row. Raises ValidationError without a reason; ending it again does nothing."""
    if not reason.strip():
        raise ValidationError({"reason": "Say why: the audit log shows it."})
    with transaction.atomic():
        if RateLimit.objects.filter(pk=limit.pk, is_active=True).update(is_active=False):
            _audit(limit, "rate_limit.ended", author, before=facts(limit), reason=reason.strip()[:500])
    return limit


def facts(limit: RateLimit) -> dict[str, Any]:
    """What a limit says, for the audit log."""
    found = {
        name: value for name in (*SCOPE_FIELDS, *AMOUNTS, "note") if (value := getattr(limit, name)) not in ("", None)
    }
    return {"name": limit.name, "team": limit.team.slug if limit.team else "all"} | found


def _audit(limit: RateLimit, action: str, author: Author, *, before=None, after=None, reason: str = "") -> None:
    audit(
        action=action,
        target=limit.name,
        team=limit.team,
        before=before,
        after=after,
        reason=reason,
        **author.signature,
    )
