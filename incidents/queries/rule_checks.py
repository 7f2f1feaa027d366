"""Whether a rule could ever be evaluated: what it names exists, and its numbers can be met."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError

from incidents.models import AlertRule, Canary
from incidents.queries.readings import Ask, sample_of
from incidents.rules.measured import DESK_FACTS
from incidents.rules.slos import ONE
from incidents.sources import known
from usage.metrics import CATALOGUE, QueryError

LONGEST = 30 * 86_400
Errors = dict[str, str]


def check(rule: AlertRule, now: datetime) -> None:
    """Raises ValidationError by field (or option) where a rule could never be evaluated; the database has the firmer
    half."""
    errors = _BY_KIND[rule.kind](rule)
    if rule.window_seconds < 60:
        errors.setdefault("window_seconds", "A window is at least a minute.")
    if rule.clear_threshold is not None and rule.threshold is not None:
        above = rule.comparison == AlertRule.Comparison.ABOVE
        if (rule.clear_threshold > rule.threshold) if above else (rule.clear_threshold < rule.threshold):
            errors["clear_threshold"] = "It is well again on the other side of the threshold, or at it."
    if errors:
        raise ValidationError(errors)
    if rule.kind in ("threshold", "baseline", "no_data"):
        _check_query(rule, now)


def _metric(rule: AlertRule) -> Errors:
    errors: Errors = {}
    if rule.metric not in CATALOGUE:
        errors["metric"] = "Choose a metric of the catalogue."
    if rule.threshold is None:
        errors["threshold"] = "Say from which value on it fires."
    return errors


def _burn_rate(rule: AlertRule) -> Errors:
    if rule.slo is None:
        return {"slo": "Choose the objective whose error budget it watches."}
    errors: Errors = {}
    long, short = (rule.options.get(name) or 0 for name in ("long_seconds", "short_seconds"))
    if not 0 < long <= LONGEST:
        errors["long_seconds"] = "The long window has up to 30 days, e.g. an hour."
    elif not 60 <= short < long:
        errors["short_seconds"] = "The short window is shorter than the long one and at least a minute, e.g. 5 minutes."
    fastest = ONE / (ONE - rule.slo.target)
    if rule.threshold is None or rule.threshold <= 0:
        errors["threshold"] = "Say from which burn rate on it fires, e.g. 14.4."
    elif rule.threshold >= fastest:
        errors["threshold"] = (
            f"It could never fire: while everything fails, this budget burns at {fastest.normalize():f}."
        )
    if rule.team_id != rule.slo.team_id:
        errors["team"] = "A burn rate belongs to the team of its objective."
    return errors


def _canary(rule: AlertRule) -> Errors:
    errors: Errors = {}
    if rule.threshold is not None and not 0 <= rule.threshold < 100:
        errors["threshold"] = "Say after how many failures in a row it fires, 1 to 100."
    if named := rule.options.get("check"):
        found = Canary.objects.filter(pk=named).first()
        if found is None or rule.team_id not in (None, found.team_id):
            errors["check"] = "There is no such synthetic check of the team."
    return errors


def _source(rule: AlertRule) -> Errors:
    sources = {one.key: one for one in known(rule.kind)}
    source = sources.get(str(rule.options.get("source", "")))
    if source is None:
        return {"source": f"Choose what it answers for: {', '.join(sources)}."}
    errors: Errors = {}
    when = rule.options.get("when")
    if when and when not in source.severities:
        errors["when"] = f"It raises these severities: {', '.join(source.severities)}. Leave it out for all."
    if rule.metric and rule.metric not in source.metrics:
        errors["metric"] = f"It watches these: {', '.join(source.metrics)}. Leave it out for all."
    if strange := sorted(set(rule.filters) - set(source.filters)):
        errors["filters"] = f"It is not told apart by {strange[0]}. Known: {', '.join(source.filters) or 'nothing'}."
    if (budget := rule.options.get("budget")) and not _has_budget(rule, source, str(budget)):
        errors["budget"] = "There is no such budget of the team."
    return errors


def _has_budget(rule: AlertRule, source, budget: str) -> bool:
    if source.budgets is None:
        return False
    teams = [rule.team_id] if rule.team_id else None
    return any(key == budget for key, _, _ in source.budgets(teams))


def _desk(rule: AlertRule) -> Errors:
    errors: Errors = {}
    if rule.metric not in DESK_FACTS:
        errors["metric"] = f"Choose one of {', '.join(DESK_FACTS)}."
    if rule.threshold is None or rule.threshold <= Decimal(0):
        errors["threshold"] = "Say from how many seconds on it fires."
    if rule.team_id:
        errors["team"] = "The desk itself belongs to no team: such a rule is of all teams."
    return errors


def _no_data(_rule: AlertRule) -> Errors:
    return {}


_BY_KIND: dict[str, Callable[[AlertRule], Errors]] = {
    "threshold": _metric,
    "baseline": _metric,
    "no_data": _no_data,
    "burn_rate": _burn_rate,
    "canary": _canary,
    "anomaly": _source,
    "budget": _source,
    "desk": _desk,
}


def _check_query(rule: AlertRule, now: datetime) -> None:
    metric = rule.metric if rule.kind != "no_data" else "requests"
    try:
        Ask.of(rule).query([metric, sample_of(metric)], now - timedelta(seconds=rule.window_seconds), now, None)
    except QueryError as error:
        shown = {"group_by": "breakdown"}.get(error.field, error.field)
        raise ValidationError({shown: str(error)}) from None
