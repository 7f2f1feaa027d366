"""How often a burn rate rule would have fired: both windows slid over what was good and bad of its objective."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate

from incidents.models import AlertRule, Slo
from incidents.queries.backtests.replay import Backtest, Drawn, Tried, grid_of, replayed, step_for
from incidents.queries.burning import reading_of, windows_of
from incidents.queries.history import Grid
from incidents.queries.readings import HOUR
from incidents.queries.slos import tallies_by
from incidents.rules.alert_rules import Reading
from incidents.rules.measured import terms
from incidents.rules.slos import NOTHING, Burn, Tally
from incidents.rules.words import TIMES

HOURS_ONLY = "The units of a spend are hours, so a short window below an hour is taken as the hour itself."


def try_burn_rate(rule: AlertRule, allowed: list[int], now: datetime, days: int) -> Backtest:
    """Every five minutes where the short window is below an hour, as far back as minutes are kept; else by the hour."""
    slo = rule.slo
    if slo is None:
        raise ValueError("A rule of a burn rate needs an objective.")
    long, short = windows_of(rule)
    by_hours = slo.indicator == Slo.Indicator.SPEND
    grid = grid_of("hour" if by_hours else step_for(short), long, now, days, timedelta(seconds=long))
    start = grid.start + grid.length * grid.width
    points, spans = replayed(terms(rule), _readings(slo, grid, _width(grid, short)))
    team = slo.team.name if slo.team else "All teams"
    note = HOURS_ONLY if by_hours and short < HOUR.total_seconds() else ""
    drawn = Drawn(TIMES, rule.threshold)
    return Backtest(start, grid.end, grid.step, 1, 1, [Tried(team, {}, points, spans)], note=note, drawn=drawn)


def _width(grid: Grid, seconds: int) -> int:
    return max(1, -(-seconds // int(grid.length.total_seconds())))


def _readings(slo: Slo, grid: Grid, short: int) -> Iterator[tuple[datetime, Reading]]:
    found: dict[datetime, Tally] = {}
    for start, end in grid.chunks():
        found |= tallies_by(slo, start, end, grid.step)
    totals = [NOTHING, *accumulate(found.get(at, NOTHING) for at in grid.moments)]
    for place in range(grid.width, len(totals)):
        burns = [_burn(slo, totals[place - width], totals[place]) for width in (grid.width, short)]
        yield grid.start + grid.length * place, reading_of(*burns)


def _burn(slo: Slo, before: Tally, after: Tally) -> Burn:
    tally = Tally(after.good - before.good, after.bad - before.bad, after.events - before.events)
    return tally.burn(slo.target)
