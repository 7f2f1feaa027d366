"""The table under the charts: requests, errors, p95 and cost by one dimension, beside a week earlier."""

from dataclasses import dataclass, replace

from aiops_site.incident import links, population, rules
from aiops_site.incident.rules import Reading, Tone, Value
from usage.measures import NARROW_DIMENSIONS
from usage.metrics import MetricResult
from usage.metrics import Row as MetricRow
from usage.queries.history import known_since
from usage.scope import UNTAGGED, Scope

TABS = ("endpoint", "tenant", "region", "model", "provider", "feature", "team")
CALLS = frozenset({"model", "provider"})  # an entry event names no model: these are counted in model calls
LIMIT = 25
SORTS = ("name", "count", "error_rate", "p95", "cost")
DEFAULT_SORT = "-count"


@dataclass(frozen=True)
class Columns:
    """The metrics behind the columns, by requests or by model calls."""

    count: str
    error_rate: str
    p95: str
    noun: str


REQUESTS = Columns("requests", "error_rate", "latency_p95", "Requests")
MODEL_CALLS = Columns("calls", "call_error_rate", "call_latency_p95", "Model calls")


@dataclass(frozen=True)
class Line:
    """One row: figures now and, where there was traffic, a week earlier."""

    name: str
    count: int
    share: float
    error_rate: Value
    usual_error_rate: Value
    error_tone: Tone
    p95: Value
    usual_p95: Value
    cost: Value
    usual_cost: Value
    url: str
    filter_url: str


@dataclass(frozen=True)
class Choice:
    """A tab or a column head: `url` is the whole page with it chosen, `part_url` this table alone."""

    label: str
    state: str
    url: str
    part_url: str


@dataclass(frozen=True)
class Breakdown:
    """What the template draws. `rest` is how many values are not shown."""

    by: str
    tabs: list[Choice]
    heads: list[Choice]
    lines: list[Line]
    rest: int


def read(scope: Scope, by: str, sort: str) -> Breakdown:
    """Two metric queries: the window and the same a week earlier. An unknown dimension or order is the default."""
    offered = [tab for tab in TABS if offers(scope, tab)]
    by = by if by in offered else offered[0]
    sort = sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT
    columns = MODEL_CALLS if by in CALLS or population.of(scope).calls else REQUESTS
    metrics = (columns.count, columns.error_rate, columns.p95, "cost_usd")
    earlier, history = scope.shifted("week"), known_since(scope.team_ids)
    now, usual = (s.query(metrics, group_by=(by,)) for s in (scope, earlier))
    total = sum(row.values[columns.count] for row in now.rows)
    lines = [line(scope, by, row, usual, columns, total) for row in now.rows if row.values[columns.count]]
    if history and history > earlier.start:  # a sum over a part of the time is not the usual one
        lines = [replace(one, usual_cost=None) for one in lines]
    lines = ordered(lines, sort)
    tabs = [choice(scope, tab.capitalize(), "page" if tab == by else "", by=tab, sort=None) for tab in offered]
    return Breakdown(by, tabs, heads(scope, columns, by, sort), lines[:LIMIT], max(len(lines) - LIMIT, 0))


def choice(scope: Scope, label: str, state: str, **changes) -> Choice:
    return Choice(label, state, links.page(scope, **changes) + "#breakdown", links.part(scope, "breakdown", **changes))


def heads(scope: Scope, columns: Columns, by: str, sort: str) -> list[Choice]:
    """Column heads: the first click sorts numbers descending and names ascending, the next the other way."""
    labels = (by.capitalize(), columns.noun, "Error rate", "p95", "Cost")
    return [_head(scope, label, name, sort) for label, name in zip(labels, SORTS, strict=True)]


def _head(scope: Scope, label: str, name: str, sort: str) -> Choice:
    first, second = (name, f"-{name}") if name == "name" else (f"-{name}", name)
    state = {name: "ascending", f"-{name}": "descending"}.get(sort, "none")
    return choice(scope, label, state, sort=second if sort == first else first)


def offers(scope: Scope, tab: str) -> bool:
    """Figures of one tenant are kept by few dimensions; one team needs no tab of its own."""
    if tab == "team":
        return len(scope.teams) > 1
    return "tenant" not in scope.filters or tab == "tenant" or tab in NARROW_DIMENSIONS


def line(scope: Scope, by: str, row: MetricRow, usual: MetricResult, columns: Columns, total: int) -> Line:
    values, name = row.values, row.key[0]
    seen = bool(usual.value(columns.count, row.key))
    before = {metric: usual.value(metric, row.key) if seen else None for metric in values}
    reading = Reading(values[columns.error_rate], before[columns.error_rate], values[columns.count])
    tone = rules.grade(rules.BY_METRIC[columns.error_rate], reading)
    return Line(
        name=(scope.team_names.get(name) if by == "team" else name) or UNTAGGED,
        count=values[columns.count],
        share=values[columns.count] / total,
        error_rate=values[columns.error_rate],
        usual_error_rate=before[columns.error_rate],
        error_tone=tone if tone in ("bad", "warn") else "",
        p95=values[columns.p95],
        usual_p95=before[columns.p95],
        cost=values["cost_usd"],
        usual_cost=before["cost_usd"],
        url=links.evidence(scope, **{by: name}),
        filter_url=links.page(scope, **{by: name or UNTAGGED}) if by in FILTERABLE else "",
    )


FILTERABLE = frozenset({"tenant", "model", "provider", "feature", "team"})


def ordered(lines: list[Line], sort: str) -> list[Line]:
    """By the chosen column; unknown figures last either way."""
    name = sort.removeprefix("-")
    known = [one for one in lines if getattr(one, name) is not None]
    unknown = [one for one in lines if getattr(one, name) is None]
    return sorted(known, key=lambda one: getattr(one, name), reverse=sort.startswith("-")) + unknown
