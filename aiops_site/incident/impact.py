"""Who is hit, and what changed: failing traffic by value, change markers, and what carries the difference."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiops_site import formats
from aiops_site.incident import drivers, links, population, rules
from aiops_site.incident.drivers import Driver, Kind, Name, Pair
from aiops_site.incident.population import MODEL_CALLS, REQUESTS, Population
from aiops_site.incident.situation import Situation
from usage.measures import NARROW_DIMENSIONS
from usage.metrics import MetricResult
from usage.metrics import Row as MetricRow
from usage.scope import UNTAGGED, Scope

METRICS = (*population.COUNTED, "total_tokens", "cost_usd", "retrieval_checks", "empty_retrievals")
MOST = 9  # differences told
WORST = 4  # rows shown of each dimension
SHOWN = {"failures": 5, "empty": 3, "latency": 3, "tokens": 3, "cost": 3, "traffic": 3}
UNITS = {"failures": "%", "empty": "%", "latency": "ms", "tokens": "tokens", "cost": "USD", "traffic": "requests"}
WORDS = {
    "failures": ("More failures", "Fewer failures"),
    "empty": ("More empty retrievals", "Fewer empty retrievals"),
    "latency": ("Slower (p95)", "Faster (p95)"),
    "tokens": ("More tokens per call", "Fewer tokens per call"),
    "cost": ("Dearer per answer", "Cheaper per answer"),
    "traffic": ("More traffic", "Less traffic"),
}


@dataclass(frozen=True)
class Dimension:
    """How a value is named from columns of the query. base: what its figures are by."""

    name: str
    columns: tuple[str, ...]
    base: Population = REQUESTS


DIMENSIONS = (
    Dimension("provider", ("provider",), MODEL_CALLS),
    Dimension("model", ("model",), MODEL_CALLS),
    Dimension("feature", ("feature",)),
    Dimension("endpoint", ("endpoint",)),
    Dimension("region", ("region",)),
    Dimension("release", ("service", "release")),
    Dimension("prompt version", ("feature", "prompt_version")),
)
ENDPOINT_REGION = Dimension("endpoint", ("endpoint", "region"))
TENANT = Dimension("tenant", ("tenant",))
FEATURE = Dimension("feature", ("feature",))
MODEL = Dimension("model", ("model",))
Latency = tuple[float | None, int]  # p95 in ms, of how many


@dataclass(frozen=True)
class Hit:
    """One value that is hit: its failures, their share of all failures, its own error rate."""

    name: str
    failed: int
    share: float
    rate: float
    url: str


@dataclass(frozen=True)
class Difference:
    """A driver ready to draw."""

    driver: Driver
    name: str
    word: str
    before: str
    now: str
    tone: str
    url: str

    @property
    def share(self) -> float | None:
        return abs(self.driver.share) if self.driver.share is not None else None


@dataclass(frozen=True)
class Impact:
    """What the template draws. `groups` are (heading, hits) of tenants, features and endpoints."""

    noun: str
    requests: int
    failed: int
    groups: list[tuple[str, list[Hit]]]
    differences: list[Difference]
    compared: bool


def read(situation: Situation) -> Impact:
    """Eight metric queries at most: one wide one, tenants, and two of latencies, each now and a week earlier."""
    now, usual = wide(situation.focus), wide(situation.usual)
    tenants, tenants_usual = by_tenant(situation.focus), by_tenant(situation.usual)
    focus = situation.focus
    groups = [
        ("Tenants", hits(focus, tenants, TENANT)),
        ("Features", hits(focus, now, FEATURE)),
        ("Endpoints", hits(focus, now, ENDPOINT_REGION)),
    ]
    counts = population.of(focus)
    found = [
        *(d for dimension in DIMENSIONS for d in changed(dimension, now, usual, counts)),
        *changed(TENANT, tenants, tenants_usual, counts),
        *slower(situation, now, usual),
    ]
    total = _sum(_failed(row, counts) for row in now.rows)
    return Impact(
        noun=counts.noun,
        requests=total.count,
        failed=int(total.amount),
        groups=[(title, rows) for title, rows in groups if rows],
        differences=sorted((difference(focus, d) for d in chosen(found)), key=lambda one: not one.tone)[:MOST],
        compared=any(row.values["requests"] or row.values["calls"] for row in usual.rows),
    )


def wide(scope: Scope) -> MetricResult:
    """Additive figures by every dimension at once, so that one query serves them all.

    A filter by tenant reads the narrower roll-ups, which do not know the endpoint, region, release or prompt.
    """
    columns = dict.fromkeys(column for dimension in DIMENSIONS for column in dimension.columns)
    kept = tuple(c for c in columns if "tenant" not in scope.filters or c in NARROW_DIMENSIONS)
    return scope.query(METRICS, group_by=kept)


def by_tenant(scope: Scope) -> MetricResult:
    return scope.query(METRICS, group_by=("tenant",))


def values(result: MetricResult, dimension: Dimension) -> dict[Name, list[MetricRow]]:
    """The rows of each value of a dimension; {} where the result was not read by it."""
    columns = result.query.group_by
    if not set(dimension.columns) <= set(columns):
        return {}
    places = [columns.index(column) for column in dimension.columns]
    found: dict[Name, list[MetricRow]] = defaultdict(list)
    for row in result.rows:
        found[tuple(row.key[place] for place in places)].append(row)
    return found


def named(name: Name) -> str:
    """ "answers 1.43.0"."""
    return " ".join(part or UNTAGGED for part in name) if any(name) else UNTAGGED


def hits(scope: Scope, result: MetricResult, dimension: Dimension) -> list[Hit]:
    """The values with the most failed requests, worst first."""
    counts = population.of(scope)
    counted = {name: _sum(_failed(row, counts) for row in rows) for name, rows in values(result, dimension).items()}
    total = sum(pair.amount for pair in counted.values())
    worst = sorted(counted.items(), key=lambda item: item[1].amount, reverse=True)[:WORST]
    return [
        Hit(
            named(name),
            int(pair.amount),
            pair.amount / total,
            pair.ratio or 0.0,
            url(scope, dimension, name, **rules.FAILED),
        )
        for name, pair in worst
        if pair.amount
    ]


def url(scope: Scope, dimension: Dimension, name: Name, **filters: str) -> str:
    """The events of one value."""
    return links.evidence(scope, **filters, **dict(zip(dimension.columns, name, strict=True)))


# --- What carries the difference ----------------------------------------------------------------------------------
def changed(dimension: Dimension, now: MetricResult, usual: MetricResult, counts: Population) -> list[Driver]:
    """Drivers of one dimension: failures, tokens per call, cost and traffic."""
    new, old = values(now, dimension), values(usual, dimension)
    base = counts if counts.calls else dimension.base
    kinds: tuple[tuple[Kind, Callable], ...] = (
        ("failures", _failed), ("empty", _empty), ("tokens", _tokens), ("cost", _cost),
    )  # fmt: skip
    found = [
        driver
        for kind, pair in kinds
        for driver in drivers.of_ratio(kind, dimension.name, _pairs(new, pair, base), _pairs(old, pair, base))
    ]
    return found + drivers.of_traffic(dimension.name, _pairs(new, _failed, base), _pairs(old, _failed, base))


def _pairs(by_value: dict[Name, list[MetricRow]], pair: Callable, base: Population) -> dict[Name, Pair]:
    totals = {name: _sum(pair(row, base) for row in rows) for name, rows in by_value.items() if any(name)}
    return {name: total for name, total in totals.items() if total.count}


def _sum(pairs: Iterable[Pair]) -> Pair:
    return sum(pairs, drivers.NOTHING)


def _failed(row: MetricRow, base: Population) -> Pair:
    count, failed = population.counted(row.values, base)
    return Pair(failed, count)


def _empty(row: MetricRow, _: Population) -> Pair:
    return Pair(row.values["empty_retrievals"], row.values["retrieval_checks"])


def _tokens(row: MetricRow, _: Population) -> Pair:
    """By answered calls: a failed one has no tokens, and an outage is not thrift."""
    return Pair(row.values["total_tokens"], row.values["calls"] - row.values["call_errors"])


def _cost(row: MetricRow, base: Population) -> Pair:
    """By answered requests or calls. Calls of unknown cost are left out; the requests above them stay, as they may
    have known parts."""
    count, failed = population.counted(row.values, base)
    cost = row.values["cost_usd"]
    return drivers.NOTHING if base.calls and cost is None else Pair(float(cost or 0), count - failed)


def slower(situation: Situation, now: MetricResult, usual: MetricResult) -> list[Driver]:
    """Latency drivers: model calls by model, requests by feature; two metric queries for each that can be compared."""
    counts = population.of(situation.scope)
    found = []
    for dimension, metric, own in ((MODEL, "call_latency_p95", MODEL_CALLS), (FEATURE, "latency_p95", REQUESTS)):
        base, name = counts if counts.calls else own, dimension.name
        after, before = (by_count(result, dimension, base) for result in (now, usual))
        if any(min(count, before.get(value, 0)) >= rules.MIN_REQUESTS for value, count in after.items()):
            windows = ((situation.focus, after), (situation.usual, before))
            sides = (latencies(scope, name, counts.metric(metric), known) for scope, known in windows)
            found += drivers.of_latency(name, *sides)
    return found


def by_count(result: MetricResult, dimension: Dimension, base: Population) -> dict[Name, int]:
    """How many requests or calls each value of a dimension has."""
    return {name: pair.count for name, pair in _pairs(values(result, dimension), _failed, base).items()}


def latencies(scope: Scope, dimension: str, metric: str, counts: dict[Name, int]) -> dict[Name, Latency]:
    result = scope.query((metric,), group_by=(dimension,))
    return {name: (result.value(metric, name), count) for name, count in counts.items()}


def chosen(found: list[Driver]) -> list[Driver]:
    """The most telling few of each kind, kinds in the order of SHOWN, what got worse before what only differs.

    Of values that are the same traffic (a feature and its one endpoint) only the first is told.
    """
    unlike = {(d.kind, d.now, d.before, d.weight): d for d in reversed(found)}
    by_kind = {kind: [d for d in reversed(unlike.values()) if d.kind == kind] for kind in SHOWN}
    return [
        driver
        for kind, limit in SHOWN.items()
        for driver in (by_kind[kind] if kind == "latency" else drivers.ranked(by_kind[kind]))[:limit]
    ]


def difference(scope: Scope, driver: Driver) -> Difference:
    """A driver in words. Only a change for the worse is coloured."""
    unit = UNITS[driver.kind]
    worse = driver.risen and driver.kind != "traffic"
    dimension = next(d for d in (*DIMENSIONS, TENANT) if d.name == driver.dimension)
    filters = {"failures": rules.FAILED, "empty": {"operation": "retrieval"}}.get(driver.kind, {})
    return Difference(
        driver=driver,
        name=named(driver.value),
        word=WORDS[driver.kind][0 if driver.risen else 1],
        before=formats.figure(driver.before, unit) if driver.before is not None else "new",
        now=formats.figure(driver.now, unit),
        tone="bad" if worse and driver.kind in ("failures", "empty") else "warn" if worse else "",
        url=url(scope, dimension, driver.value, **filters),
    )
