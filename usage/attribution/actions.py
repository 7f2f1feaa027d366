"""Adding and ending rules of attribution; each with its effect on history and its audit entry in one transaction."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.actions import Author, audit
from accounts.models import Team
from usage.attribution.apply import apply_to_all, lock_series
from usage.models import AttributionRule
from usage.pricing.actions import new_book_version
from usage.rules.attribution import NONE

CONDITIONS = ("feature", "service", "model", "environment")
FACTS = (*CONDITIONS, "only_untagged", "set_feature", "set_cost_center", "position", "note", "is_active")


def facts_of(rule: AttributionRule) -> dict[str, Any]:
    key = rule.api_key.name if rule.api_key else ""
    return {"api_key": key} | {name: getattr(rule, name) for name in FACTS}


def check(rule: AttributionRule) -> None:
    """Raises ValidationError naming the field and the fix."""
    if not rule.set_feature and not rule.set_cost_center:
        raise ValidationError({"set_feature": "Say which feature or cost centre to set."})
    if not rule.api_key_id and not any(getattr(rule, name) for name in CONDITIONS):
        raise ValidationError({"feature": "Give at least one condition; (none) stands for calls that name no feature."})
    if rule.api_key and rule.api_key.team_id != rule.team_id:
        raise ValidationError({"api_key": "This key belongs to another team. Choose its team."})
    if rule.service == NONE:
        raise ValidationError({"service": "(none) is not possible here: name a service, or leave it empty."})
    rule.full_clean(validate_constraints=False)


def add_rule(*, author: Author, rule: AttributionRule) -> int:
    """Put a new rule in force, in history too; returns how many series changed. Raises ValidationError."""
    check(rule)
    rule.created_by = author.user
    with transaction.atomic():
        teams = _locked(rule)
        rule.save()
        if rule.api_key_id:
            new_book_version()  # ingest then sees that the key has a rule, as it sees a new price
        return _carry_out(author, rule, teams, "attribution.added", before=None)


def end_rule(*, author: Author, rule: AttributionRule) -> int:
    """Take a rule out of force: what it set goes back to what other rules or the events say."""
    return _switch(author, rule, active=False)


def revive_rule(*, author: Author, rule: AttributionRule) -> int:
    """Put an ended rule in force again."""
    return _switch(author, rule, active=True)


def _switch(author: Author, rule: AttributionRule, *, active: bool) -> int:
    with transaction.atomic():
        teams = _locked(rule)
        found = AttributionRule.objects.select_for_update(of=("self",)).get(pk=rule.pk)
        if found.is_active == active:
            return 0
        before = facts_of(found)
        found.is_active, found.ended_at = active, None if active else timezone.now()
        found.save(update_fields=["is_active", "ended_at"])
        return _carry_out(author, found, teams, "attribution.revived" if active else "attribution.ended", before=before)


def _locked(rule: AttributionRule) -> list[int]:
    """The teams it holds for, each locked against new series."""
    teams = [rule.team_id] if rule.team_id else list(Team.objects.order_by("pk").values_list("pk", flat=True))
    for team in teams:
        lock_series(team)
    return teams


def _carry_out(author: Author, rule: AttributionRule, teams: list[int], action: str, *, before) -> int:
    changed = sum(apply_to_all(team) for team in teams)
    audit(
        action=action,
        target=rule,
        team=rule.team,
        before=before,
        after=facts_of(rule) | {"series_changed": changed},
        **author.signature,
    )
    return changed
