"""Writing SLOs, and with each the burn rate rules that alert on it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import Author, audit
from incidents.models import AlertRule, RunbookSection, Slo
from incidents.rules.slos import HOUR, PAIRS, Pair, pairs
from usage.metrics import MetricQuery, QueryError
from usage.models.scopes import SCOPE_FIELDS

EDITED = (
    *("name", "indicator", "limit", "per", "checks", "target", "window_days", "min_events", "exclusions", "note"),
    *(name for name in SCOPE_FIELDS if name != "user_hash"),
)
# Indicator → the runbook section its alerts name, and what to do first.
ANSWERS = {
    "success": ("provider-outage", "containment", "See whether one provider fails; fail over to another."),
    "latency": ("latency", "containment", "See which stage is slow; set the mode to conserve for it."),
    "quality": ("quality-degradation", "containment", "Roll back the last prompt or release of the feature."),
    "spend": ("cost-spike", "containment", "Set the mode to conserve for what drives the spend."),
}
ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # what can be asked does not depend on when
STALE = "Somebody saved this objective while you edited it. Look at the new one and change it again."


def facts(slo: Slo) -> dict[str, Any]:
    """What the audit log keeps, JSON-able."""
    shown: dict[str, Any] = {name: getattr(slo, name) for name in EDITED}
    shown |= {name: f"{Decimal(value).normalize():f}" for name in ("limit", "target") if (value := shown[name])}
    return shown | {"team": slo.team.slug if slo.team else None, "owner": slo.owner.email if slo.owner else None}


def check(slo: Slo) -> None:
    """Raises ValidationError by field where an objective cannot be counted; the database has the same rules."""
    errors: dict[str, str] = {}
    if slo.indicator in ("latency", "spend") and not (slo.limit and slo.limit > 0):
        errors["limit"] = "Say what is fast enough, in ms." if slo.indicator == "latency" else "Say the limit in USD."
    if slo.indicator == "spend" and not slo.per:
        errors["per"] = "Say whether the limit is for an hour, a conversation or a request."
    if not 0 < slo.target < 1:
        errors["target"] = "A target is above 0 and below 100 %: what never fails leaves no budget to spend."
    if errors:
        raise ValidationError(errors)
    _check_slice(slo)


def _check_slice(slo: Slo) -> None:
    chosen: dict[str, tuple[str, ...]] = {name: (value,) for name in SCOPE_FIELDS if (value := getattr(slo, name))}
    try:
        MetricQuery(
            ("requests",),
            ANY_DAY,
            ANY_DAY + HOUR,
            filters=chosen | {"status": ("success",)},
            excluded={name: tuple(values) for name, values in slo.exclusions.items()},
        )
    except QueryError as error:
        raise ValidationError({"exclusions": str(error)}) from None


def save_slo(*, author: Author, slo: Slo, values: dict[str, Any], version: int | None = None) -> Slo:
    """Make the objective (one without a key) or change it; its burn rate rules follow.

    `values`: of EDITED, team and owner. With `version`, that of the objective the edit began with: raises
    ValidationError when it has been changed since, as for values that cannot be.
    """
    with transaction.atomic():
        made = slo.pk is None
        current = slo if made else Slo.objects.select_for_update().get(pk=slo.pk)
        if version is not None and current.version != version:
            raise ValidationError(STALE)
        before = None if made else facts(current)
        for name, value in values.items():
            setattr(current, name, value)
        check(current)
        if before == facts(current):
            return current
        current.version += 0 if made else 1
        current.save()
        _sync_rules(current)
        verb = "add" if made else "edit"
        audit(
            **author.signature,
            action=f"slo.{verb}",
            target=_named(current),
            team=current.team,
            before=before,
            after=facts(current),
        )
    return current


def set_archived(*, author: Author, slo: Slo, archived: bool) -> None:
    """Archive an objective, with its rules, or take it up again. Doing so twice changes nothing."""
    with transaction.atomic():
        current = Slo.objects.select_for_update().get(pk=slo.pk)
        if current.is_active == (not archived):
            return
        current.is_active = not archived
        current.version += 1
        current.save()
        _sync_rules(current)
        verb = "archive" if archived else "restore"
        audit(**author.signature, action=f"slo.{verb}", target=_named(current), team=current.team)


def _named(slo: Slo) -> str:
    """How the audit log names it: the key finds its history."""
    return f"SLO {slo.pk}: {slo.name}"


# --- Burn rate rules ------------------------------------------------------------------------------------------------
def _sync_rules(slo: Slo) -> None:
    """Four rules or fewer (`pairs`): made, brought up to the objective, or put to rest. What people changed of one
    (who owns it, severity, mitigation) stays. Further rules that people made rest with the objective."""
    useful = pairs(slo.target, slo.window) if slo.is_active else []
    known = {rule.slug: rule for rule in slo.rules.select_for_update()}
    for pair in PAIRS:
        rule = known.get(_slug(slo, pair))
        if rule is None and pair in useful:
            _new_rule(slo, pair).save()
        elif rule is not None:
            _follow(rule, slo, pair, pair in useful)
    own = {_slug(slo, pair) for pair in PAIRS}
    for rule in (one for slug, one in known.items() if slug not in own):
        if _rest(rule, slo.is_active) or rule.team_id != slo.team_id:
            rule.team = slo.team
            _keep(rule)


def _slug(slo: Slo, pair: Pair) -> str:
    return f"slo-{slo.pk}-{pair.long // HOUR}h"


def _new_rule(slo: Slo, pair: Pair) -> AlertRule:
    book, section, mitigation = ANSWERS[slo.indicator]
    return AlertRule(
        slug=_slug(slo, pair),
        name=_rule_name(slo, pair),
        team=slo.team,
        kind=AlertRule.Kind.BURN_RATE,
        slo=slo,
        window_seconds=int(pair.long.total_seconds()),
        threshold=pair.rate(slo.window),
        clear_seconds=int(pair.clear.total_seconds()),
        min_events=slo.min_events,
        options={
            "long_seconds": int(pair.long.total_seconds()),
            "short_seconds": int(pair.short.total_seconds()),
            "budget_share": str(pair.budget_share),
        },
        severity=pair.severity,
        route=pair.route,
        owner=slo.owner,
        first_mitigation=mitigation,
        runbook_section=RunbookSection.objects.get(runbook__slug=book, kind=section),
        is_shipped=bool(slo.shipped_as),
    )


def _rule_name(slo: Slo, pair: Pair) -> str:
    hours = pair.long // HOUR
    long = f"{hours // 24} d" if hours >= 24 else f"{hours} h"
    return f"{slo.name}: {pair.budget_share:.0%} of the error budget in {long}"[:150].replace("%", " %")


def _follow(rule: AlertRule, slo: Slo, pair: Pair, useful: bool) -> None:
    """Only what is the objective's. A rule that a person switched off stays off."""
    rule.name, rule.team, rule.threshold = _rule_name(slo, pair), slo.team, pair.rate(slo.window)
    rule.min_events = slo.min_events
    _rest(rule, useful)
    _keep(rule)


def _rest(rule: AlertRule, useful: bool) -> bool:
    """Put it to rest, or take it up again if it was put to rest; whether that changed it."""
    before = rule.is_active
    if not useful and rule.is_active:
        rule.is_active, rule.options["rested"] = False, True
    elif useful and rule.options.pop("rested", False):
        rule.is_active = True
    return rule.is_active != before


def _keep(rule: AlertRule) -> None:
    rule.version += 1
    rule.save()
