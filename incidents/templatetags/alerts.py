"""How alerts name their runbook section on pages."""

from django import template
from django.urls import NoReverseMatch, reverse

register = template.Library()


@register.filter
def runbook_url(key: str) -> str:
    """The page of a section named "slug#section"."""
    slug, _, section = key.partition("#")
    try:
        return f"{reverse('runbook-detail', args=[slug])}#{section}"
    except NoReverseMatch:  # a sender of alerts from outside may name anything
        return reverse("runbook-list")


@register.filter
def runbook_label(key: str) -> str:
    """ "cost-spike#containment" as "Cost spike: containment"."""
    slug, _, section = key.partition("#")
    return f"{slug.replace('-', ' ').capitalize()}{': ' if section else ''}{section.replace('_', '-')}"
