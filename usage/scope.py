"""What a page looks at: window, filters, comparison and zone, parsed from its URL for the signed-in user.

Every page takes its figures through a Scope, so a filter works everywhere and a team is never shown another's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from accounts.access import get_team, visible_teams
from accounts.models import Team
from usage.metrics import MetricQuery, MetricResult, kept_step, query
from usage.rules.calendar import is_plausible

RANGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "90d": ("Last 90 days", timedelta(days=90)),
}
# The default step of windows up to so long.
STEPS = (
    (timedelta(hours=2), "minute"),
    (timedelta(hours=12), "5min"),
    (timedelta(days=8), "hour"),
    (timedelta(days=200), "day"),
)
COMPARISONS = {"none": "No comparison", "previous": "Previous period", "week": "Same time a week earlier"}
FILTERS = ("environment", "feature", "model", "provider", "tenant")
UNTAGGED = "(none)"
TENANT_CHOICES = 200


@dataclass(frozen=True)
class Scope:
    """start, end: aware UTC, end exclusive. team_ids: the teams looked at, never more than the user may see."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    teams: tuple[Team, ...]
    range: str = "24h"
    team: Team | None = None
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    compare: str = "none"
    errors: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_request(cls, request: HttpRequest, default_range: str = "24h") -> "Scope":
        """Parse a request's GET parameters. A team not theirs is a 404; a bad time falls back with an error."""
        get = request.GET
        zone = zone_of(request.user)
        chosen, start, end, errors = _window(get, zone, default_range)
        team = get_team(request.user, slug) if (slug := get.get("team")) else None
        return cls(
            start=start,
            end=end,
            zone=zone,
            teams=(team,) if team else tuple(visible_teams(request.user)),
            range=chosen,
            team=team,
            filters=_filters(get),
            compare=get["compare"] if get.get("compare") in COMPARISONS else "none",
            errors=errors,
            parameters=tuple((name, value) for name, values in get.lists() for value in values if value),
        )

    @property
    def team_ids(self) -> tuple[int, ...]:
        return tuple(team.id for team in self.teams)

    @property
    def team_names(self) -> dict[str, str]:
        """Slug → name: figures by team come by slug, as in URLs and CSV; people read names."""
        return {team.slug: team.name for team in self.teams}

    @property
    def step(self) -> str:
        """The default step of this window's charts."""
        fitting = next((step for limit, step in STEPS if self.end - self.start <= limit), "week")
        return kept_step(fitting, self.start, timezone.now())

    @property
    def label(self) -> str:
        if self.range in RANGES:
            return RANGES[self.range][0]
        local = [moment.astimezone(self.zone) for moment in (self.start, self.end)]
        return " – ".join(f"{moment:%-d %b %Y %H:%M}" for moment in local)

    # --- Reading --------------------------------------------------------------------------------------------------
    def query(
        self,
        metrics: tuple[str, ...],
        *,
        step: str | None = None,
        group_by: tuple[str, ...] = (),
        filters: Mapping[str, tuple[str, ...]] | None = None,
    ) -> MetricResult:
        """The metric query of this scope. `filters` are laid over the scope's own."""
        return query(
            MetricQuery(
                metrics=metrics,
                start=self.start,
                end=self.end,
                step=step,
                group_by=group_by,
                filters=self.filters | dict(filters or {}),
                team_ids=self.team_ids,
                zone=self.zone,
            )
        )

    def between(self, start: datetime, end: datetime) -> "Scope":
        """The same scope over another window."""
        return replace(self, start=start, end=end, range="custom")

    def last(self, length: timedelta) -> "Scope":
        """The same scope over the last `length` before its end."""
        return self.between(self.end - length, self.end)

    def since(self, moment: datetime | None) -> "Scope":
        """The part of the window from `moment` on; all of it where that is no moment before its end."""
        return self.between(max(self.start, moment), self.end) if moment and moment < self.end else self

    @property
    def previous(self) -> "Scope | None":
        """The scope compared with; None when nothing is."""
        return None if self.compare == "none" else self.shifted(self.compare)

    def shifted(self, comparison: str) -> "Scope":
        """This scope a period ("previous") or the fewest whole weeks ("week") earlier."""
        length = self.end - self.start
        shift = length if comparison == "previous" else timedelta(weeks=-(-length // timedelta(weeks=1)))
        return self.between(self.start - shift, self.end - shift)

    # --- Links ----------------------------------------------------------------------------------------------------
    def url(self, path: str = "", /, **changes: Any) -> str:
        """`path` with this page's parameters, changed: None removes one, a tuple repeats it, datetimes become ISO.

        Setting from/to drops range and the other way round.
        """
        changes = {name.rstrip("_"): value for name, value in changes.items()}
        dropped = set(changes) | ({"range"} if "from" in changes else set())
        dropped |= {"from", "to"} if "range" in changes else set()
        pairs = [(name, value) for name, value in self.parameters if name not in dropped]
        for name, value in changes.items():
            values = value if isinstance(value, tuple | list) else (value,)
            pairs += [(name, _text(item)) for item in values if item is not None]
        return f"{path}?{urlencode(pairs)}" if pairs else path or "?"

    # --- What the filter bar shows --------------------------------------------------------------------------------
    @property
    def ranges(self) -> list[tuple[str, str, bool]]:
        return [(value, label, value == self.range) for value, (label, _) in RANGES.items()]

    @property
    def compare_options(self) -> list[tuple[str, str, bool]]:
        return [(value, label, value == self.compare) for value, label in COMPARISONS.items()]

    @property
    def active(self) -> list[tuple[str, str, str]]:
        """(dimension, value, URL without it) of every filter in force."""
        return [
            (name, value or UNTAGGED, self.url(**{name: tuple(v or UNTAGGED for v in values if v != value) or None}))
            for name, values in self.filters.items()
            for value in values
        ]

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """Parameters a filter form must carry along."""
        own = {"range", "from", "to", "team", "compare", "after", "before", *FILTERS}
        return [(name, value) for name, value in self.parameters if name not in own]

    @cached_property
    def choices(self) -> dict[str, list[tuple[str, str, bool]]]:
        """Dimension → (value, label, selected) of everything seen in these teams' series."""
        found = _values_seen(self.team_ids)
        return {
            name: [
                (value or UNTAGGED, value or UNTAGGED, value in self.filters.get(name, ()))
                for value in sorted({*found.get(name, ()), *self.filters.get(name, ())})
            ]
            for name in FILTERS
        }

    @property
    def local_start(self) -> str:
        return f"{self.start.astimezone(self.zone):%Y-%m-%dT%H:%M}"

    @property
    def local_end(self) -> str:
        return f"{self.end.astimezone(self.zone):%Y-%m-%dT%H:%M}"


def zone_of(user) -> ZoneInfo:
    """The viewer's zone; UTC where none is set."""
    try:
        return ZoneInfo(getattr(user, "time_zone", "") or "UTC")
    except (KeyError, ValueError):
        return ZoneInfo("UTC")


def _window(get, zone: ZoneInfo, default: str) -> tuple[str, datetime, datetime, tuple[str, ...]]:
    now = timezone.now()
    if get.get("from"):
        try:
            start = moment_of(get["from"], zone)
            end = moment_of(get["to"], zone) if get.get("to") else now
            if end <= start:
                raise ValueError("“To” must be after “From”.")
            return "custom", start, end, ()
        except ValueError as error:
            return default, now - RANGES[default][1], now, (f"{error} Showing {RANGES[default][0].lower()} instead.",)
    chosen = get["range"] if get.get("range") in RANGES else default
    return chosen, now - RANGES[chosen][1], now, ()


def moment_of(text: str, zone: ZoneInfo) -> datetime:
    """An ISO time, in the viewer's zone where it names none. Raises ValueError with what to write instead."""
    try:
        # A "+" that came through a URL unescaped is a space.
        moment = datetime.fromisoformat(text.strip().replace(" 0", "+0") if "T" in text else text.strip())
    except ValueError:
        raise ValueError(f"“{text[:40]}” is not a time: write it as 2026-01-31T14:00.") from None
    if not is_plausible(moment):
        raise ValueError(f"“{text[:40]}” is out of range.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _filters(get) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple("" if value == UNTAGGED else value for value in values)
        for name in FILTERS
        if (values := [value for value in get.getlist(name) if value and "\0" not in value])
    }


def _text(value: Any) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _values_seen(team_ids: tuple[int, ...]) -> dict[str, list[str]]:
    names = [name for name in FILTERS if name != "tenant"]
    columns = ", ".join(f"array_agg(DISTINCT {name})" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM usage_series WHERE team_id = ANY(%s)", [list(team_ids)])
        found = dict(zip(names, (values or [] for values in cursor.fetchone()), strict=True))
        cursor.execute(
            "SELECT tenant FROM usage_tenant_day WHERE team_id = ANY(%s) AND bucket >= now() - interval '8 days'"
            " GROUP BY 1 ORDER BY sum(events) DESC LIMIT %s",
            [list(team_ids), TENANT_CHOICES],
        )
        tenants = [tenant for (tenant,) in cursor.fetchall()]
        return found | {"tenant": [*tenants, ""] if tenants else []}
