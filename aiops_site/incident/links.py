"""Addresses of the incident view: its parts, and the evidence behind a figure."""

from django.urls import reverse

from usage.scope import UNTAGGED, Scope

BY_CALLS = {"provider", "model"}
# Parameters of this page that mean nothing elsewhere.
OWN = dict.fromkeys(("by", "sort", "compare"))


def evidence(scope: Scope, **filters: str) -> str:
    """The events behind a figure of `scope`: its window and filters, and those given; blank ones as UNTAGGED.

    `entries` (requests only, without their stages) is left out where a provider or model is picked: no entry has one.
    """
    if BY_CALLS & {*filters, *scope.filters}:
        filters.pop("entries", None)
    named = {name: value or UNTAGGED for name, value in filters.items()}
    return scope.url(reverse("event-list"), from_=scope.start, to=scope.end, **OWN | named)


def part(scope: Scope, name: str, **changes) -> str:
    """A part of this page, with the page's parameters, changed."""
    return scope.url(reverse("incident-part", args=[name]), **changes)


def page(scope: Scope, **changes) -> str:
    """This page with changed parameters."""
    return scope.url(reverse("incident"), **changes)


def triage(scope: Scope) -> str:
    """Triage of this page's window, with its filters."""
    return scope.url(reverse("triage-window"), from_=scope.start, to=scope.end, **OWN)
