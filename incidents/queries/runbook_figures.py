"""The figures that runbook steps ask for, looked up for the slice of an incident."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aiops_site import formats
from incidents.queries.runbook_places import Slice
from incidents.rules.markdown import Figure
from usage.metrics import CATALOGUE, DIMENSION_NAMES, MetricQuery, QueryError, query

SPAN = timedelta(minutes=15)
SHOWN = 3
NOTE = "of all providers and models"
UNITS = {"ratio": "%", "count": ""}


# What the caller saw has no provider or model of its own, and a fallback is a call of the other one: in a slice of
# a provider or model these are read of all.
OF_REQUESTS = {name for name in CATALOGUE if name.startswith("latency_")}
OF_REQUESTS |= {
    "fallback_rate",
    "fallbacks",
    "requests",
    "errors",
    "error_rate",
    "availability",
    "successes",
    "requests_per_minute",
    "concurrency",
}
OF_CALLS_ALONE = ("provider", "model", "region", "operation", "fallback_from")


@dataclass(frozen=True)
class LookedUp:
    """A figure: `values` are (name, words), the name "" where it is whole; `before` is that of ahead of the impact."""

    figure: Figure
    values: tuple[tuple[str, str], ...] = ()
    before: str = ""
    note: str = ""
    problem: str = ""


def look_up(figures: Iterable[Figure], place: Slice, now: datetime) -> dict[Figure, LookedUp]:
    """Every figure over the last 15 minutes (of an incident that is over: its last), one query for each breakdown.

    A whole one has beside it what it was in the 15 minutes before the impact began.
    """
    together: dict[tuple[str, bool], list[Figure]] = defaultdict(list)
    for figure in figures:
        if figure.metric in CATALOGUE and (not figure.by or figure.by in DIMENSION_NAMES):
            together[figure.by, _of_requests(figure, place)].append(figure)
    found: dict[Figure, LookedUp] = {}
    for (by, whole), asked in together.items():
        wider = replace(place, filters=without_calls(place.filters)) if whole else place
        found |= _looked_up(by, asked, wider, place.ended or now, NOTE if whole else "")
    return found


def without_calls(filters: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """A slice without what only calls of models have."""
    return {name: values for name, values in filters.items() if name not in OF_CALLS_ALONE}


def _of_requests(figure: Figure, place: Slice) -> bool:
    return figure.metric in OF_REQUESTS and without_calls(place.filters) != place.filters


def _looked_up(by: str, asked: list[Figure], place: Slice, end: datetime, note: str) -> dict[Figure, LookedUp]:
    metrics = tuple(dict.fromkeys(figure.metric for figure in asked))
    groups = (by,) if by else ()
    try:
        result = query(_question(metrics, place, end, groups))
        ahead = query(_question(metrics, place, place.started, ())) if place.started and not by else None
    except QueryError as error:
        return {figure: LookedUp(figure, problem=str(error)) for figure in asked}
    found = {}
    for figure in asked:
        if by:
            rows = [(row.key[0] or "(none)", row.values[figure.metric]) for row in result.ranked(figure.metric, SHOWN)]
            values = tuple((name, words(figure.metric, value)) for name, value in rows)
        else:
            values = (("", words(figure.metric, result.value(figure.metric))),)
        before = words(figure.metric, ahead.value(figure.metric)) if ahead else ""
        found[figure] = LookedUp(figure, values, before, note)
    return found


def _question(metrics: tuple[str, ...], place: Slice, end: datetime, groups: tuple[str, ...]) -> MetricQuery:
    return MetricQuery(
        metrics=metrics,
        start=end - SPAN,
        end=end,
        group_by=groups,
        filters=place.filters,
        team_ids=place.team_ids,
    )


def words(metric: str, value) -> str:
    """A figure as people read it, with its unit."""
    unit = CATALOGUE[metric].unit
    return formats.figure(value, UNITS.get(unit, unit))
