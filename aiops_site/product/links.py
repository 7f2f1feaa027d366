"""Addresses of the product view: its parts, the comparison, and the evidence behind a figure."""

from django.urls import reverse

from usage.scope import FILTERS, UNTAGGED, Scope

# Parameters of this page that mean nothing elsewhere.
OWN = ("by", "of", "a", "b", "change", "around", "compare")


def page(scope: Scope, **changes) -> str:
    """This page with changed parameters."""
    return scope.url(reverse("product"), **changes)


def part(scope: Scope, name: str, **changes) -> str:
    """A part of this page, with the page's parameters, changed."""
    return scope.url(reverse("product-part", args=[name]), **changes)


def evidence(scope: Scope, **filters: str) -> str:
    """The events behind a figure of `scope`: its window and filters, and those given; blank ones as UNTAGGED."""
    named = {name: value or (UNTAGGED if name in FILTERS else None) for name, value in filters.items()}
    return scope.url(reverse("event-list"), from_=scope.start, to=scope.end, **dict.fromkeys(OWN) | named)


def around(scope: Scope, change: int) -> str:
    """This page comparing before and after a change."""
    return page(scope, change=change, a=None, b=None) + "#versions"
