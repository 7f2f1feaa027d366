"""Addresses of the incident view: its parts, and the evidence behind a figure."""

from collections.abc import Mapping

from django.urls import reverse

from usage.scope import FILTERS, UNTAGGED, Scope

EVENTS = "/events/"
# Parameters of this page that mean nothing elsewhere.
OWN = dict.fromkeys(("by", "sort", "compare"))


def evidence(scope: Scope, **filters: str) -> str:
    """The events behind a figure of `scope`: its window and filters, and those given; blank ones as UNTAGGED."""
    named = {name: (value or UNTAGGED if name in FILTERS else value) for name, value in filters.items()}
    return scope.url(EVENTS, from_=scope.start, to=scope.end, **OWN | _searched(named))


def _searched(filters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}


def part(scope: Scope, name: str, **changes) -> str:
    """A part of this page, with the page's parameters, changed."""
    return scope.url(reverse("incident-part", args=[name]), **changes)


def page(scope: Scope, **changes) -> str:
    """This page with changed parameters."""
    return scope.url(reverse("incident"), **changes)
