"""How often a rule would have fired: the same steps as its evaluation, over what is kept of the last weeks."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

from accounts.models import Team
from incidents.models import AlertRule
from incidents.queries.history import Grid, Group, Slid, slide
from incidents.queries.readings import DAY, HOUR, WEEK, is_additive, metric_of
from incidents.rules.alert_rules import Reading, Standing, Terms, judge, ratio, step
from incidents.rules.measured import is_compared, terms
from usage import partitions
from usage.metrics import MetricQuery, query
from usage.metrics.window import FIXED_STEPS

DAYS = 30
# Of a rule of all teams, the busiest are looked at: they fire most, and the cost stays bounded.
MOST_TEAMS = 10
TESTED = (AlertRule.Kind.THRESHOLD, AlertRule.Kind.BASELINE, AlertRule.Kind.NO_DATA)


@dataclass(frozen=True)
class Span:
    """A time it would have fired; `end` None: it still would."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Tried:
    """One label set: what was compared with the threshold (None: not judged), and when it would have fired."""

    team: str
    labels: dict[str, str]
    points: dict[datetime, Decimal | None]
    spans: list[Span]


@dataclass(frozen=True)
class Backtest:
    """Label sets from `start` to `end`, those that fired most first; `teams`: how many of them were looked at."""

    start: datetime
    end: datetime
    step: str
    teams: int
    of_teams: int
    sets: list[Tried] = field(default_factory=list)

    @property
    def times(self) -> int:
        """How often it would have fired."""
        return sum(len(one.spans) for one in self.sets)

    @property
    def days(self) -> int:
        return max(1, round((self.end - self.start) / DAY))


def backtest(rule: AlertRule, team_ids: Iterable[int], now: datetime, days: int = DAYS) -> Backtest:
    """What `rule` (saved or not) would have done. `team_ids`: teams that may be looked at.

    Windows under an hour are judged as far back as minutes are kept, in steps of five minutes (one, under five);
    longer ones hour by hour. Raises QueryError for a metric, filter or breakdown that does not go together.
    """
    allowed = sorted(set(team_ids) & {rule.team_id} if rule.team_id else set(team_ids))
    teams = _busiest(allowed, now)
    grid = _grid(rule.window_seconds, now, days)
    if rule.kind not in TESTED or not teams:
        return Backtest(grid.start, grid.end, grid.step, len(teams), len(allowed))
    figures = slide(rule, grid, teams, now)
    usual = _Usual(rule, grid, teams, now) if is_compared(rule) else None
    names = dict(Team.objects.filter(pk__in=teams).values_list("slug", "name"))
    groups = figures.keys() | (usual.groups if usual and rule.kind != AlertRule.Kind.THRESHOLD else set())
    sets = [_try(rule, group, figures.get(group, Slid({})), usual, grid, names) for group in groups]
    sets.sort(key=lambda one: (-len(one.spans), one.team, sorted(one.labels.items())))
    return Backtest(grid.start, grid.end, grid.step, len(teams), len(allowed), sets)


def _busiest(teams: list[int], now: datetime) -> tuple[int, ...]:
    if len(teams) <= MOST_TEAMS:
        return tuple(teams)
    q = MetricQuery(("requests",), now - WEEK, now, group_by=("team",), team_ids=tuple(teams))
    slugs = [row.key[0] for row in query(q, now).ranked("requests", MOST_TEAMS)]
    return tuple(Team.objects.filter(slug__in=slugs).order_by("pk").values_list("pk", flat=True))


def _grid(seconds: int, now: datetime, days: int) -> Grid:
    step = "minute" if seconds < 300 else "5min" if seconds < 3600 else "hour"
    length = FIXED_STEPS[step]
    end = now - (now - datetime(2001, 1, 1, tzinfo=now.tzinfo)) % length
    start = end - timedelta(days=days)
    if step != "hour":
        start = max(start, partitions.minute_horizon(now) + HOUR)
        start += -(start - datetime(2001, 1, 1, tzinfo=now.tzinfo)) % length
    return Grid(step, start, end, max(1, -(-seconds // int(length.total_seconds()))))


def _try(rule: AlertRule, group: Group, slid: Slid, usual: "_Usual | None", grid: Grid, names: dict) -> Tried:
    asked = terms(rule)
    points: dict[datetime, Decimal | None] = {}
    standing, spans = Standing(), []
    for place in range(len(grid.moments) - grid.width + 1):
        at = grid.start + grid.length * (place + grid.width)
        reading = _reading(rule, slid.points.get(at, (None, 0)), usual.at(group, at) if usual else None)
        points[at] = None if _too_few(asked, reading) else reading.value
        after = step(replace(standing, seen=None), judge(asked, reading), asked, at)
        if after.state == "firing" and standing.state != "firing":
            spans.append(Span(at, None))
        elif standing.state == "firing" and after.state == "ok":
            spans[-1] = Span(spans[-1].start, at)
        standing = after
    return Tried(names.get(group[0], group[0]), dict(zip(rule.breakdown, group[1:], strict=True)), points, spans)


def _too_few(asked: Terms, reading: Reading) -> bool:
    return reading.events is not None and reading.events < asked.min_events


def _reading(rule: AlertRule, figure: tuple[Decimal | None, int], reference: Decimal | None) -> Reading:
    value, events = figure
    if rule.kind == AlertRule.Kind.THRESHOLD:
        return Reading(value, events, reference)
    if rule.kind == AlertRule.Kind.NO_DATA:
        enough = reference is not None and reference >= rule.min_events
        return Reading(Decimal(events) if enough else None, None, reference)
    return Reading(ratio(value, reference, Decimal(str(rule.options.get("floor", 0)))), events, reference)


class _Usual:
    """What was usual at a moment: the median of the same hours of earlier weeks, else of the day before."""

    def __init__(self, rule: AlertRule, grid: Grid, teams: tuple[int, ...], now: datetime) -> None:
        self._weeks, self._window = rule.baseline_weeks, timedelta(seconds=rule.window_seconds)
        start = (grid.start - WEEK * rule.baseline_weeks).replace(minute=0, second=0, microsecond=0)
        self._hours = slide(rule, Grid("hour", start, grid.end.replace(minute=0), 1), teams, now)
        self._additive = is_additive(metric_of(rule))
        self._known: dict[tuple[Group, datetime], Decimal | None] = {}

    @property
    def groups(self) -> set[Group]:
        return set(self._hours)

    def at(self, group: Group, end: datetime) -> Decimal | None:
        """Of the window that ends at `end`."""
        hour = (end - timedelta(minutes=1)).replace(minute=0)  # the last hour it touches
        if (group, hour) not in self._known:
            self._known[group, hour] = self._of_hour(group, hour)
        return self._known[group, hour]

    def _of_hour(self, group: Group, hour: datetime) -> Decimal | None:
        points = self._hours[group].points if group in self._hours else {}
        count = max(1, -(-self._window // HOUR))
        for agos in ([WEEK * number for number in range(1, self._weeks + 1)], [DAY]):
            found = [value for ago in agos if (value := self._over(points, hour - ago, count)) is not None]
            if found:
                return median(found)
        return None

    def _over(self, points: dict, hour: datetime, count: int) -> Decimal | None:
        """Of so many hours up to and with `hour`: sums made as long as the window, else averaged by their events."""
        figures = [points.get(hour + HOUR - HOUR * number, (None, 0)) for number in range(count)]
        known = [(value, events) for value, events in figures if value is not None]
        if not known:
            return None
        if self._additive:
            total = sum((value for value, _ in known), Decimal(0))
            return total * Decimal(self._window / (HOUR * count))
        events = sum(count for _, count in known)
        return sum((value * n for value, n in known), Decimal(0)) / events if events else None
