"""Figures of anomalies for templates."""

from typing import Any

from django import template

from aiops_site import formats
from budgets.models import Anomaly

register = template.Library()


@register.filter
def measured(value: Any, unit: str) -> str:
    """A figure in its unit: $1.20/h, 3.1k tokens, 12 requests."""
    return formats.figure(value, unit) if unit.startswith("USD") else f"{formats.compact(value)} {unit}"


@register.filter
def expected_range(one: Anomaly) -> str:
    """The band of the hour furthest off: $0.007 to $0.015, 2.1k to 3.9k tokens."""
    if one.unit.startswith("USD"):
        return f"{formats.money(one.low)} to {measured(one.high, one.unit)}"
    return f"{formats.compact(round(one.low, 1))} to {measured(round(one.high, 1), one.unit)}"
