"""Changes that can have touched what the page shows: on its charts and in the choice of what to compare around."""

from aiops_site.charts import Marker
from aiops_site.incident import markers
from aiops_site.product import links
from usage.models import ChangeMarker, Series
from usage.scope import Scope

FEW = 6  # more labels than this would run into each other, so they are shortened to versions


def of(scope: Scope) -> list[ChangeMarker]:
    """The scope's changes, newest first; with a feature filter, none of services that do not serve the feature."""
    found = markers.of(scope)
    features = scope.filters.get("feature")
    if not features or not any(change.service for change in found):
        return found
    seen = Series.objects.filter(team_id__in=scope.team_ids, feature__in=features)
    serving = {*seen.values_list("team_id", "service").distinct()}
    return [change for change in found if not change.service or _serves(change, serving)]


def _serves(change: ChangeMarker, serving: set[tuple[int, str]]) -> bool:
    if change.team_id is None:
        return change.service in {service for _, service in serving}
    return (change.team_id, change.service) in serving


def on_charts(scope: Scope) -> list[Marker]:
    """Labelled vertical rules; a click compares what was before with what came after."""
    found = of(scope)
    crowded = len(found) > FEW
    return [
        Marker(change.at, (crowded and change.ref) or change.title, links.around(scope, change.pk)) for change in found
    ]
