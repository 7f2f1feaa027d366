"""What the figure of a rule is: its name, unit and terms, by kind."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from incidents.rules.alert_rules import Terms
from incidents.rules.words import SECONDS, TIMES
from usage.metrics import CATALOGUE

if TYPE_CHECKING:
    from incidents.models import AlertRule

# Facts about the desk itself that a rule of kind desk may name as its metric.
DESK_FACTS = {
    "rollup_lag": "Lag of the roll-ups",
    "queue_age": "Age of a queue",
    "evaluation_age": "Time since rules were evaluated",
}


@dataclass(frozen=True)
class Measured:
    """`name` in words, `unit` of the figure that is compared, `of` the unit of what it is a ratio of."""

    name: str
    unit: str
    of: str = ""


def measured(rule: "AlertRule") -> Measured:
    """What the rule compares with its threshold."""
    if rule.kind == "desk":
        return Measured(DESK_FACTS.get(rule.metric, rule.metric), SECONDS)
    if rule.kind == "burn_rate":
        return Measured("Error budget burns", TIMES)
    if rule.kind == "no_data":
        return Measured("Requests", "count", "count")
    metric = CATALOGUE.get(rule.metric)
    name, unit = (metric.label, metric.unit) if metric else (rule.metric or rule.get_kind_display(), "count")
    if rule.kind == "baseline":
        return Measured(f"{name} by the same hours of earlier weeks", TIMES, unit)
    return Measured(name, unit, unit)


def is_compared(rule: "AlertRule") -> bool:
    """Whether what is usual at this hour must be known to judge the rule."""
    return rule.kind in ("baseline", "no_data") or bool(rule.options.get("times_usual"))


def terms(rule: "AlertRule") -> Terms:
    """What the rule asks, with what its kind decides by itself."""
    if rule.kind == "no_data":
        return Terms(False, Decimal(1), Decimal(1), rule.for_seconds, rule.clear_seconds)
    threshold = rule.threshold if rule.threshold is not None else Decimal(1)
    return Terms(
        above=rule.comparison == "above",
        threshold=threshold,
        clear=threshold if rule.clear_threshold is None else rule.clear_threshold,
        for_seconds=rule.for_seconds,
        clear_seconds=rule.clear_seconds,
        min_events=rule.min_events,
        no_data=rule.options.get("no_data", "ok"),
        sure=int(rule.options.get("sure", 0)),
        times_usual=Decimal(str(rule.options.get("times_usual", 0))),
    )
