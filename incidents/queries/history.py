"""Figures of a rule over weeks, for its backtest: read in steps, then added up into windows that slide.

A handful of metric queries, however long ago, so the cost follows the number of steps and label sets shown.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from incidents.models import AlertRule
from incidents.queries.readings import Ask, is_additive, metric_of, sample_of
from usage.histogram import bucket_of, middle
from usage.metrics import CATALOGUE, MetricQuery, histograms_by_step, query
from usage.metrics.asked import MAX_POINTS
from usage.metrics.metric import Peak, Percentile
from usage.metrics.window import FIXED_STEPS

Group = tuple[str, ...]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Slid:
    """Moment (end of the window) → (value, events in the window); value None is unknown. Empty windows may lack."""

    points: dict[datetime, tuple[Decimal | None, int]]


@dataclass(frozen=True)
class Grid:
    """Steps from start to end, and how many of them are a window."""

    step: str
    start: datetime
    end: datetime
    width: int

    @property
    def length(self) -> timedelta:
        return FIXED_STEPS[self.step]

    @cached_property
    def moments(self) -> list[datetime]:
        """Starts of the steps."""
        return [self.start + self.length * number for number in range(int((self.end - self.start) / self.length))]

    def chunks(self) -> Iterator[tuple[datetime, datetime]]:
        """Stretches that a metric query answers at once."""
        most = self.length * (MAX_POINTS - 1)
        start = self.start
        while start < self.end:
            yield start, min(start + most, self.end)
            start += most


def slide(rule: AlertRule, grid: Grid, teams: tuple[int, ...], now: datetime) -> dict[Group, Slid]:
    """Group (team's slug, then the breakdown) → its figures by sliding window."""
    of = CATALOGUE[metric_of(rule)]
    if isinstance(of.value, Percentile):
        return _slide_histograms(rule, grid, teams, now, of.value.quantile)
    together = max if isinstance(of.value, Peak) else sum
    read = _read(rule, grid, teams, now)
    return {group: _slid(by_step, grid, metric_of(rule), together) for group, by_step in read.items()}


def _queries(rule: AlertRule, grid: Grid, teams: tuple[int, ...], metrics: list[str]) -> Iterator[MetricQuery]:
    for start, end in grid.chunks():
        asked = Ask.of(rule).query(metrics, start, end, teams)
        yield MetricQuery(
            asked.metrics, start, end, step=grid.step, group_by=asked.group_by, filters=asked.filters, team_ids=teams
        )


def _read(rule: AlertRule, grid: Grid, teams: tuple[int, ...], now: datetime) -> dict[Group, dict[datetime, Any]]:
    metric = metric_of(rule)
    names = list(dict.fromkeys([metric, sample_of(metric), weight_of(metric)]))
    found: dict[Group, dict[datetime, Any]] = defaultdict(dict)
    for q in _queries(rule, grid, teams, names):
        for row in query(q, now).rows:
            if row.at is not None:
                found[row.key][row.at] = row.values
    return found


def weight_of(metric: str) -> str:
    """The metric by which steps are averaged into a window: what it is divided by, requests where that has no name."""
    of = CATALOGUE[metric]
    named = {one.value: name for name, one in CATALOGUE.items() if one.per is None and not one.per_time}
    return named.get(of.per, sample_of(metric)) if of.per is not None else sample_of(metric)


def _slid(by_step: dict[datetime, Any], grid: Grid, metric: str, together: Any) -> Slid:
    """Windows in which there was anything."""
    points: dict[datetime, tuple[Decimal | None, int]] = {}
    for moments in _stretches(by_step, grid):
        points |= _slid_part([by_step.get(at) for at in moments], moments, grid, metric, together)
    return Slid(points)


def _stretches(by_step: Collection[datetime], grid: Grid) -> Iterator[list[datetime]]:
    """Neighbouring steps whose windows hold one of these; most slices are silent most of the time."""
    moments, width = grid.moments, grid.width
    busy = [place for place, at in enumerate(moments) if at in by_step]
    start = stop = 0
    for place in busy:
        if place - width + 1 > stop:
            yield moments[start:stop]
            start = place - width + 1
        stop = min(place + width, len(moments))
    yield moments[start:stop]


def _slid_part(
    rows: list, moments: list[datetime], grid: Grid, metric: str, together: Any
) -> dict[datetime, tuple[Decimal | None, int]]:
    """Sums add up; ratios are averaged by what they are divided by, rates by time; a peak is the highest."""
    sample, weight = sample_of(metric), weight_of(metric)
    events = _windows([Decimal(row[sample] or 0) if row else ZERO for row in rows], grid.width)
    known = [_known(row, metric) for row in rows]
    if together is max:
        values = [
            max((v for v in known[i : i + grid.width] if v is not None), default=None) for i in _places(rows, grid)
        ]
    else:
        weights = [_weight(row, value, metric, weight) for row, value in zip(rows, known, strict=True)]
        sums = _windows([(v or ZERO) * w for v, w in zip(known, weights, strict=True)], grid.width)
        over = _windows(weights, grid.width)
        values = _quotients(sums, over, is_additive(metric), [row is not None for row in rows], grid.width)
    ends = [moments[i] + grid.length * grid.width for i in _places(rows, grid)]
    return {at: (value, int(count)) for at, value, count in zip(ends, values, events, strict=True)}


def _places(rows: list, grid: Grid) -> range:
    return range(len(rows) - grid.width + 1)


def _known(row: Any, metric: str) -> Decimal | None:
    return None if row is None or row[metric] is None else Decimal(str(row[metric]))


def _weight(row: Any, value: Decimal | None, metric: str, weight: str) -> Decimal:
    if is_additive(metric) or CATALOGUE[metric].per_time:
        return Decimal(1)
    return Decimal(str(row[weight] or 0)) if row and value is not None else ZERO


def _quotients(
    sums: list[Decimal], over: list[Decimal], additive: bool, seen: list[bool], width: int
) -> list[Decimal | None]:
    if not additive:
        return [total / base if base else None for total, base in zip(sums, over, strict=True)]
    some = _windows([Decimal(one) for one in seen], width)
    return [total if any_ else None for total, any_ in zip(sums, some, strict=True)]


def _windows(values: list[Decimal], width: int) -> list[Decimal]:
    """Sums of every `width` neighbours."""
    total = [ZERO, *accumulate(values)]
    return [total[i + width] - total[i] for i in range(len(values) - width + 1)]


def _slide_histograms(
    rule: AlertRule, grid: Grid, teams: tuple[int, ...], now: datetime, quantile: float
) -> dict[Group, Slid]:
    found: dict[Group, dict[datetime, np.ndarray]] = defaultdict(dict)
    for q in _queries(rule, grid, teams, [rule.metric]):
        for (group, at), counts in histograms_by_step(q, now).items():
            if at is not None:
                found[group][at] = counts
    return {group: _slid_quantiles(by_step, grid, quantile) for group, by_step in found.items()}


def _slid_quantiles(by_step: dict[datetime, np.ndarray], grid: Grid, quantile: float) -> Slid:
    """One histogram slides along: what enters the window is added, what leaves it taken away."""
    points: dict[datetime, tuple[Decimal | None, int]] = {}
    for moments in _stretches(by_step, grid):
        window = np.zeros_like(next(iter(by_step.values())))
        for place, at in enumerate(moments):
            window = window + by_step.get(at, 0)
            if place >= grid.width:
                window = window - by_step.get(moments[place - grid.width], 0)
            if place >= grid.width - 1:
                bucket = bucket_of(window, quantile)
                value = None if bucket is None else Decimal(str(middle(bucket)))
                points[at + grid.length] = (value, int(window.sum()))
    return Slid(points)
