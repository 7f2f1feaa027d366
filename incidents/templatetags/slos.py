"""Bars of error budgets for templates."""

from typing import Any

from django import template

from incidents.queries.slos import Attainment

register = template.Library()


@register.inclusion_tag("incidents/slos/bar.html")
def budget_left_bar(one: Attainment) -> dict[str, Any]:
    """What is left of the error budget, in per cent of it; an overspent one is full and bad."""
    if one.left is None:
        return {"left": None, "width": 0}
    spent = one.left < 0
    tone = "bad" if spent else "warn" if one.tone != "ok" else "ok"
    return {"left": one.left, "width": 100 if spent else round(float(min(one.left, 1)) * 100, 1), "tone": tone}
