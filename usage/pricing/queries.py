"""Reads of the price pages: what is unpriced, which models are in use, where reported and computed cost differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.models import Team
from usage.models import Price, Repricing

UNPRICED_DAYS = 400
IN_USE_DAYS = 30
EXAMPLE_HOURS, EXAMPLES = 3, 10
FILTERED = ("environment", "feature", "provider", "model")  # what a series can be filtered by on these pages

# Whole days from the daily roll-ups, today from the hourly ones: fresh, and small however many events there are.
_UNPRICED = """
    SELECT s.provider, s.model, sum(r.unpriced), sum(r.priced), sum(r.input_tokens), sum(r.output_tokens),
        min(r.bucket), max(r.bucket), array_agg(DISTINCT r.team_id)
    FROM (
        SELECT team_id, bucket, series_id, unpriced, coalesce(priced, 0) AS priced, input_tokens, output_tokens
        FROM usage_day
        WHERE team_id = ANY(%(teams)s) AND bucket >= %(first)s AND bucket < %(today)s AND unpriced > 0
        UNION ALL
        SELECT team_id, bucket, series_id, unpriced, coalesce(priced, 0), input_tokens, output_tokens
        FROM usage_hour WHERE team_id = ANY(%(teams)s) AND bucket >= %(today)s AND unpriced > 0
    ) r JOIN usage_series s ON s.team_id = r.team_id AND s.id = r.series_id
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""

_IN_USE = """
    SELECT s.provider, s.model, sum(coalesce(r.priced, 0) + coalesce(r.unpriced, 0)), sum(r.cost_usd)
    FROM usage_day r JOIN usage_series s ON s.team_id = r.team_id AND s.id = r.series_id
    WHERE r.team_id = ANY(%(teams)s) AND r.bucket >= %(first)s AND (r.priced > 0 OR r.unpriced > 0)
    GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 200
"""

# A row's two sums are about the same calls only where all of its calls have both.
_DIFFERENCES = """
    SELECT c.provider, c.model, sum(c.reported), coalesce(sum(c.reported) FILTER (WHERE c.whole), 0),
        coalesce(sum(c.reported_cost_usd) FILTER (WHERE c.whole), 0),
        coalesce(sum(c.cost_usd) FILTER (WHERE c.whole), 0)
    FROM (
        SELECT s.provider, s.model, r.reported, r.reported_cost_usd, r.cost_usd,
            r.reported = r.priced AND r.unpriced IS NULL AS whole
        FROM usage_hour r JOIN usage_series s ON s.team_id = r.team_id AND s.id = r.series_id
        WHERE r.team_id = ANY(%(teams)s) AND r.bucket >= %(start)s AND r.bucket < %(end)s AND r.reported > 0 {filters}
    ) c
    GROUP BY 1, 2 ORDER BY abs(coalesce(sum(c.reported_cost_usd - c.cost_usd) FILTER (WHERE c.whole), 0)) DESC, 1, 2
"""

_WORST_HOURS = """
    SELECT r.team_id, r.bucket, array_agg(r.series_id)
    FROM usage_hour r JOIN usage_series s ON s.team_id = r.team_id AND s.id = r.series_id
    WHERE r.team_id = ANY(%(teams)s) AND r.bucket >= %(start)s AND r.bucket < %(end)s AND r.reported > 0
        AND s.provider = %(provider)s AND s.model = %(model)s {filters}
    GROUP BY 1, 2 ORDER BY abs(sum(coalesce(r.reported_cost_usd, 0) - coalesce(r.cost_usd, 0))) DESC, 2 DESC
    LIMIT %(hours)s
"""

_EXAMPLES = """
    SELECT e.team_id, e.occurred_at, e.event_id, e.trace_id, e.input_tokens, e.cached_input_tokens,
        e.cache_write_tokens, e.output_tokens, e.reasoning_tokens, e.reported_cost_usd, e.cost_usd
    FROM usage_event e
    WHERE e.team_id = %(team)s AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
        AND e.series_id = ANY(%(series)s::bigint[]) AND e.reported_cost_usd IS NOT NULL
        AND e.cost_usd IS DISTINCT FROM e.reported_cost_usd
    ORDER BY abs(e.reported_cost_usd - coalesce(e.cost_usd, 0)) DESC LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Unpriced:
    """A model with calls whose price nobody knows. Tokens are those of the roll-up rows that hold such calls."""

    provider: str
    model: str
    calls: int
    priced: int
    input_tokens: int | None
    output_tokens: int | None
    first: datetime
    last: datetime
    teams: list[Team]


@dataclass(frozen=True)
class InUse:
    """A model called in the last days."""

    provider: str
    model: str
    calls: int
    cost: Decimal | None


@dataclass(frozen=True)
class Difference:
    """Reported beside computed cost of a model, over the calls that can be compared.

    `reported_calls` came with a cost; `compared` of them stand in hours where every call has both figures.
    """

    provider: str
    model: str
    reported_calls: int
    compared: int
    reported: Decimal
    computed: Decimal

    @property
    def difference(self) -> Decimal:
        return self.reported - self.computed

    @property
    def ratio(self) -> Decimal | None:
        """Difference as a share of the computed cost."""
        return self.difference / self.computed if self.computed else None


@dataclass(frozen=True)
class Example:
    """One call whose reported cost is not the computed one."""

    team_id: int
    occurred_at: datetime
    event_id: str
    trace_id: str | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    reported: Decimal
    computed: Decimal | None


def _name(team: Team) -> str:
    return team.name


def unpriced_models(teams: list[Team], now: datetime) -> list[Unpriced]:
    """Models with calls without a price in these teams, most calls first."""
    by_id = {team.pk: team for team in teams}
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    parameters = {"teams": list(by_id), "first": today - timedelta(days=UNPRICED_DAYS), "today": today}
    return [
        Unpriced(
            provider,
            model,
            calls,
            priced,
            used,
            answered,
            first,
            last,
            sorted(map(by_id.__getitem__, seen_in), key=_name),
        )
        for provider, model, calls, priced, used, answered, first, last, seen_in in _rows(_UNPRICED, parameters)
    ]


def models_in_use(teams: list[Team], now: datetime) -> list[InUse]:
    """Models these teams called in the last 30 days, most calls first."""
    first = now - timedelta(days=IN_USE_DAYS)
    return [InUse(*row) for row in _rows(_IN_USE, {"teams": [team.pk for team in teams], "first": first})]


@dataclass(frozen=True)
class Slice:
    """Whose calls are compared, when, and of which dimension values."""

    team_ids: list[int]
    start: datetime
    end: datetime
    filters: Mapping[str, tuple[str, ...]]

    @property
    def sql(self) -> str:
        return "".join(f" AND s.{name} = ANY(%({name}_in)s)" for name in FILTERED if name in self.filters)

    @property
    def parameters(self) -> dict:
        values = {f"{name}_in": list(self.filters[name]) for name in FILTERED if name in self.filters}
        return values | {"teams": self.team_ids, "start": self.start, "end": self.end}


def differences(of: Slice) -> list[Difference]:
    """Per model, reported against computed cost, from the hourly roll-ups; largest difference first."""
    return [Difference(*row) for row in _rows(_DIFFERENCES.format(filters=of.sql), of.parameters)]


def difference_examples(of: Slice, provider: str, model: str) -> list[Example]:
    """Calls of the model that differ most, looked for in the few hours whose sums differ most."""
    parameters = of.parameters | {"provider": provider, "model": model, "hours": EXAMPLE_HOURS}
    hours = _rows(_WORST_HOURS.format(filters=of.sql), parameters)
    found = [
        Example(*row)
        for team, hour, series in hours
        for row in _rows(
            _EXAMPLES,
            {"team": team, "start": hour, "end": hour + timedelta(hours=1), "series": series, "limit": EXAMPLES},
        )
    ]
    return sorted(found, key=lambda one: abs(one.reported - (one.computed or 0)), reverse=True)[:EXAMPLES]


def visible_prices(user) -> QuerySet[Price]:
    """Own prices the user may see: those for all teams, and their teams' negotiated ones."""
    return Price.objects.filter(Q(team=None) | Q(team__in=visible_teams(user))).select_related("team", "created_by")


def visible_repricings(user) -> QuerySet[Repricing]:
    """Runs of the user's teams. Sums of a run over all teams are for those who see all teams."""
    everything = user.is_superuser or None in user.roles_by_team
    runs = Repricing.objects.select_related("team", "requested_by")
    return runs if everything else runs.filter(team__in=visible_teams(user))


def _rows(sql: str, parameters: dict) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
