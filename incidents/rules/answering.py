"""Which rule of kind anomaly or budget answers for what another part of the desk found. Pure."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from incidents.models import AlertRule


def answers(rule: "AlertRule", severity: str, labels: Mapping[str, str]) -> bool:
    """Whether the rule answers for an alert of its source with this severity and these labels."""
    return (
        rule.options.get("when", severity) == severity
        and (rule.kind != "anomaly" or rule.metric in ("", labels.get("metric")))
        and all(labels.get(name) in values for name, values in rule.filters.items())
        and rule.options.get("budget") in (None, "", labels.get("budget"))
    )


def nearest(rules: Iterable["AlertRule"]) -> "AlertRule":
    """The one that decides where several answer: a team's own first, then the one that asks for most."""
    return min(rules, key=lambda rule: (rule.team_id is None, -_asked(rule), rule.pk))


def _asked(rule: "AlertRule") -> int:
    return bool(rule.options.get("when")) + bool(rule.metric) + len(rule.filters) + bool(rule.options.get("budget"))
