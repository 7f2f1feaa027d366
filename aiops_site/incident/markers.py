"""Change markers of the page: on its charts and in "what changed"."""

from datetime import datetime

from django.urls import reverse

from aiops_site.charts import Marker
from aiops_site.incident import links
from usage.changes import changes_between
from usage.models import ChangeMarker
from usage.scope import Scope

LIMIT = 50


def of(scope: Scope, start: datetime | None = None) -> list[ChangeMarker]:
    """Markers of the scope's teams from `start` (default: its own) to its end, newest first, at most LIMIT."""
    return list(changes_between(scope.team_ids, start or scope.start, scope.end, scope.filters)[:LIMIT])


def on_charts(scope: Scope) -> list[Marker]:
    """The scope's markers as labelled vertical rules."""
    url = list_url(scope)
    return [Marker(marker.at, marker.title, url) for marker in of(scope)]


def list_url(scope: Scope) -> str:
    """The changes page for this window."""
    return scope.url(reverse("change-list"), from_=scope.start, to=scope.end, **links.OWN)
