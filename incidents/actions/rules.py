"""Writing alert rules: every version is kept, a lost edit is refused, other terms begin anew."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from accounts.actions import Author, audit
from accounts.models import Team
from incidents.models import AlertRule, RuleState, RuleVersion
from incidents.queries.rule_checks import check

EDITED = (
    *("name", "kind", "metric", "filters", "breakdown", "window_seconds", "comparison", "threshold"),
    *("clear_threshold", "for_seconds", "clear_seconds", "min_events", "baseline_weeks", "options", "severity"),
    *("route", "first_mitigation", "is_active", "team_id", "owner_id", "runbook_section_id", "parent_id", "slo_id"),
)
# What decides which label sets there are and what they mean: with another one, states begin anew.
_DECIDING = ("check", "long_seconds", "short_seconds", "source", "when", "budget")
TERMS = ("kind", "metric", "filters", "breakdown", "window_seconds", "comparison", "threshold", "team_id", "slo_id")
STALE = "Somebody saved this rule while you edited it. Look at the new version and change it again."


def facts(rule: AlertRule) -> dict[str, Any]:
    """Every edited field, JSON-able: what versions and the audit log keep."""
    return {name: _plain(getattr(rule, name)) for name in EDITED}


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def save_rule(
    *,
    author: Author,
    rule: AlertRule,
    values: Mapping[str, Any],
    at: datetime,
    version: int | None = None,
    note: str = "",
) -> AlertRule:
    """Make the rule (one without a key) or change it; a version is kept.

    With `version`, that of the rule the edit began with: raises ValidationError when it was changed since.
    """
    with transaction.atomic():
        made = rule.pk is None
        current = rule if made else AlertRule.objects.select_for_update(of=("self",)).get(pk=rule.pk)
        if version is not None and current.version != version:
            raise ValidationError(STALE)
        before = None if made else facts(current)
        for name, value in values.items():
            setattr(current, name, value)
        check(current, at)
        after = facts(current)
        if before == after:
            return current
        _store(current, before, at, author, note)
        action = "rule.add" if made else "rule.edit"
        audit(
            **author.signature,
            action=action,
            target=named(current),
            team=current.team,
            before=before,
            after=after,
        )
    return current


def named(rule: AlertRule) -> str:
    """How the audit log names it: the key finds its history."""
    return f"rule {rule.pk}: {rule.name}"


def _store(rule: AlertRule, before: dict[str, Any] | None, at: datetime, author: Author, note: str) -> None:
    if before is None:
        rule.slug = rule.slug or _free_slug(rule.name)
        rule.save()
    else:
        if not rule.versions.exists():  # what came with the desk
            RuleVersion.objects.create(rule=rule, number=rule.version, facts=before, created_at=rule.created_at)
        rule.version += 1
        rule.failed_at, rule.failure = None, ""
        rule.save()
        if _terms(before) != _terms(facts(rule)):
            RuleState.objects.filter(rule=rule).delete()
    RuleVersion.objects.create(
        rule=rule, number=rule.version, facts=facts(rule), created_at=at, author=author.user, note=note
    )


def _terms(found: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What decides which label sets there are: with something else, states begin anew."""
    chosen = {name: value for name, value in found["options"].items() if name in _DECIDING}
    return [found[name] for name in TERMS], chosen


def _free_slug(name: str) -> str:
    base = slugify(name)[:60] or "rule"
    taken = {"backtest", *AlertRule.objects.filter(slug__startswith=base).values_list("slug", flat=True)}
    return base if base not in taken else next(f"{base}-{n}" for n in range(2, 10_000) if f"{base}-{n}" not in taken)


def switch_rule(*, author: Author, rule: AlertRule, on: bool, at: datetime) -> AlertRule:
    """Switch a rule on or off; off, its alerts end with the next evaluation."""
    if not on:
        RuleState.objects.filter(rule=rule).delete()
    return save_rule(author=author, rule=rule, values={"is_active": on}, at=at, note="On" if on else "Off")


def remove_rule(*, author: Author, rule: AlertRule, version: int | None = None) -> None:
    """Delete a rule with its versions; its alerts end with the next evaluation and stay in their list.

    Raises ValidationError for one that came with the desk or with an objective, which would only come back, and for
    one that was changed since `version`.
    """
    with transaction.atomic():
        current = AlertRule.objects.select_for_update(of=("self",)).get(pk=rule.pk)
        if version is not None and current.version != version:
            raise ValidationError(STALE)
        if why := kept_because(current):
            raise ValidationError(why)
        target, team, before = named(current), current.team, facts(current)
        current.delete()
        audit(**author.signature, action="rule.remove", target=target, team=team, before=before)


def kept_because(rule: AlertRule) -> str:
    """Why a rule cannot be deleted; "" where it can."""
    if rule.is_shipped:
        return "It came with the desk and would come back. Switch it off."
    if rule.slo_id and rule.slug.startswith(f"slo-{rule.slo_id}-"):
        return "It came with its objective and would come back. Switch it off, or archive the objective."
    return ""


def undo_rule(*, author: Author, rule: AlertRule, at: datetime) -> AlertRule:
    """Bring back the version before the present one, as a new version. Raises ValidationError without one."""
    before = rule.versions.filter(number__lt=rule.version).order_by("-number").first()
    if before is None:
        raise ValidationError("There is no version before this one.")
    values = dict(before.facts)
    for name in ("threshold", "clear_threshold"):
        values[name] = None if values[name] is None else Decimal(values[name])
    note = f"As in version {before.number}"
    return save_rule(author=author, rule=rule, values=values, at=at, version=rule.version, note=note)


def copy_rule(*, author: Author, rule: AlertRule, team: Team | None, at: datetime) -> AlertRule:
    """The same rule once more, for `team`. A team's copy of a rule of all teams stands instead of it for that team."""
    copy = AlertRule(version=1)
    values = {name: getattr(rule, name) for name in EDITED} | {"team_id": team.pk if team else None}
    if team and rule.team_id is None:
        values["options"] = rule.options | {"instead_of": rule.slug}
    values["name"] = f"{rule.name} ({team.name})"[:150] if team else f"{rule.name} (copy)"[:150]
    return save_rule(author=author, rule=copy, values=values, at=at, note=f"Copy of {rule.name}")
