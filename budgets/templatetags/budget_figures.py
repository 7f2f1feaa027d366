"""Bars of budgets for templates."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from aiops_site import formats
from budgets.queries.guard import reason_words
from budgets.queries.standing import Standing
from budgets.views.shown import amount

register = template.Library()


@register.filter
def in_unit(value: Any, unit_label: str) -> SafeString:
    """An amount with its unit, every digit on hover."""
    exact = formats.money_exact(value) if unit_label == "USD" else f"{formats.exact(value)} {unit_label}"
    return format_html('<span data-exact title="{}">{}</span>', exact, amount(value, unit_label))


@register.filter
def guard_reason(code: str) -> str:
    return reason_words(code)


@register.inclusion_tag("budgets/bar.html")
def budget_bar(standing: Standing) -> dict[str, Any]:
    """Used and reserved of the limit, paler what is expected, a tick where the period is now; percentages."""
    used = min(float(standing.share), 1.0) * 100
    reserved = min(float(standing.reserved_share) * 100, 100 - used)
    tick = round(standing.elapsed * 100, 1)
    share = standing.forecast.share if standing.forecast else None
    expected = round(min(share or 0.0, 1.0) * 100, 1)
    return {
        "used": round(used, 1),
        "reserved": round(reserved, 1),
        "expected": expected if expected > used + reserved else 0,
        "tick": tick,
        "standing": standing,
    }
