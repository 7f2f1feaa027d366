"""The slice and window of an incident: for metric queries and for links of the desk."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from accounts.access import visible_teams
from accounts.models import Team, User
from aiops_site import formats
from incidents.models import Incident
from incidents.rules.markdown import Places
from usage.metrics import DIMENSION_NAMES

LEAD = timedelta(minutes=30)  # a chart that shows what it was like before
UNTAGGED = "(none)"


@dataclass(frozen=True)
class Slice:
    """Whose traffic, which part of it, from when to when; `ended` is None while it goes on."""

    team_ids: tuple[int, ...]
    filters: dict[str, tuple[str, ...]]
    started: datetime | None
    ended: datetime | None
    places: Places


def slice_of(user: User, incident: Incident | None, team: Team | None = None) -> Slice:
    """The slice of an incident; without one, all traffic of `team` or of the teams the user sees, now."""
    team = incident.team if incident else team
    team_ids = (team.pk,) if team else tuple(visible_teams(user).values_list("pk", flat=True))
    if incident is None:
        return Slice(team_ids, {}, None, None, Places(scope=_query(team, {})))
    filters = filters_of(incident)
    places = Places(window_query(incident), _query(team, filters), str(incident.pk))
    return Slice(team_ids, filters, incident.impact_started_at, incident.resolved_at, places)


def filters_of(incident: Incident) -> dict[str, tuple[str, ...]]:
    """Dimension → values of an incident's scope, as the metric query takes them."""
    known = {name: values for name, values in incident.scope.items() if name in DIMENSION_NAMES and name != "team"}
    return {name: tuple(values) for name, values in known.items() if values}


def window_query(incident: Incident) -> str:
    """from and to of its pages: from half an hour before the impact, until it was resolved or, open, until now."""
    pairs = [("from", formats.iso(incident.impact_started_at - LEAD))]
    if incident.resolved_at:
        pairs.append(("to", formats.iso(incident.resolved_at)))
    return urlencode(pairs)


def _query(team: Team | None, filters: dict[str, tuple[str, ...]]) -> str:
    pairs = [("team", team.slug)] if team else []
    return urlencode([*pairs, *((name, value or UNTAGGED) for name, values in filters.items() for value in values)])
