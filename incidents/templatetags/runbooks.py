"""What runbook pages show of figures."""

from django import template

from incidents.rules.markdown import Figure
from usage.metrics import CATALOGUE

register = template.Library()


@register.filter
def figure_label(figure: Figure) -> str:
    """ "Error rate by model"; the name itself where the catalogue knows no such metric."""
    metric = CATALOGUE.get(figure.metric)
    label = metric.label if metric else figure.metric
    return f"{label} by {figure.by.replace('_', ' ')}" if figure.by else label


@register.filter
def of(known: dict | str, key):
    """known|of:key; None where it is not there, or where the page has no such dictionary."""
    return known.get(key) if isinstance(known, dict) else None
