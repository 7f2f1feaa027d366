"""How often a rule over metrics would have fired: the same steps as its evaluation, over what is kept of weeks."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

from accounts.models import Team
from incidents.models import AlertRule
from incidents.queries.backtests.replay import SILENT, Backtest, Tried, grid_of, ranked, replayed, step_for
from incidents.queries.history import Grid, Group, Slid, slide
from incidents.queries.readings import DAY, HOUR, WEEK, is_additive, metric_of
from incidents.rules.alert_rules import Reading, ratio
from incidents.rules.measured import is_compared, terms
from usage.metrics import MetricQuery, query

# Of a rule of all teams, the busiest are looked at: they fire most, and the cost stays bounded.
MOST_TEAMS = 10
TESTED = (AlertRule.Kind.THRESHOLD, AlertRule.Kind.BASELINE, AlertRule.Kind.NO_DATA)


def try_metric(rule: AlertRule, allowed: list[int], now: datetime, days: int) -> Backtest:
    """A rule of kind threshold, baseline or no_data, by sliding windows. Raises QueryError."""
    teams = busiest(allowed, now)
    grid = grid_of(step_for(rule.window_seconds), rule.window_seconds, now, days)
    if not teams:
        return Backtest(grid.start, grid.end, grid.step, 0, len(allowed))
    figures = slide(rule, grid, teams, now)
    usual = _Usual(rule, grid, teams, now) if is_compared(rule) else None
    names = dict(Team.objects.filter(pk__in=teams).values_list("slug", "name"))
    groups = figures.keys() | (usual.groups if usual and rule.kind != AlertRule.Kind.THRESHOLD else set())
    sets = [_try(rule, group, figures.get(group, Slid({})), usual, grid, names) for group in groups]
    return Backtest(grid.start, grid.end, grid.step, len(teams), len(allowed), ranked(sets))


def busiest(teams: list[int], now: datetime) -> tuple[int, ...]:
    """At most MOST_TEAMS of them, those with most requests in the last week."""
    if len(teams) <= MOST_TEAMS:
        return tuple(teams)
    q = MetricQuery(("requests",), now - WEEK, now, group_by=("team",), team_ids=tuple(teams))
    slugs = [row.key[0] for row in query(q, now).ranked("requests", MOST_TEAMS)]
    return tuple(Team.objects.filter(slug__in=slugs).order_by("pk").values_list("pk", flat=True))


def _try(rule: AlertRule, group: Group, slid: Slid, usual: "_Usual | None", grid: Grid, names: dict) -> Tried:
    points, spans = replayed(terms(rule), _readings(rule, group, slid, usual, grid))
    return Tried(names.get(group[0], group[0]), dict(zip(rule.breakdown, group[1:], strict=True)), points, spans)


def _readings(
    rule: AlertRule, group: Group, slid: Slid, usual: "_Usual | None", grid: Grid
) -> Iterator[tuple[datetime, Reading]]:
    for at in (*grid.moments[grid.width :], grid.end):
        figure = slid.points.get(at)
        if figure is None and rule.kind != AlertRule.Kind.NO_DATA:
            yield at, SILENT
        else:
            yield at, _reading(rule, figure or (None, 0), usual.at(group, at) if usual else None)


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
