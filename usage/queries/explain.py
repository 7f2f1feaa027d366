"""What changed between two windows: cubes from the metric query, taken apart by usage.rules.explain.

The number of queries is fixed, whatever the question: the size of the cube; a cube and one by tenant of each window; at
most two series for the onset; the change markers.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from usage.changes import changes_between
from usage.measures import DIMENSIONS, NARROW_DIMENSIONS
from usage.metrics import MetricQuery, MetricResult, histograms, kept_step, query
from usage.metrics.query import UTC_ZONE
from usage.models import ChangeMarker, Series
from usage.queries.explained import Explained
from usage.queries.spend import one_snapshot
from usage.rules import explain as rules
from usage.rules.explain import Cell, Clause, Cube
from usage.rules.onset import Change, Onset, Point, Suspect, onset, suspects
from usage.rules.slices import COST_DIGITS, Counts, Part, Slices
from usage.rules.spend import Window

# A cube of more series than this is read by FEW dimensions only.
MANY_SERIES = 20_000
FEW = ("team", "environment", "feature", "provider", "model", "prompt_version")
COST_UNITS = 10**COST_DIGITS
UNKNOWN = ("unpriced_calls", "unmetered_calls")
# Steps of the series in which the onset is sought, for windows up to so long.
STEPS = ((timedelta(hours=3), "minute"), (timedelta(hours=36), "5min"), (timedelta(days=21), "hour"))
WIDTH = {"minute": timedelta(minutes=1), "5min": timedelta(minutes=5), "hour": timedelta(hours=1)}
# Markers sought before the onset, in half-lives of closeness.
LOOK_BACK = 12
SCOPED = ("team", "environment", "service", "feature")
# Relative changes that are none; of a percentile, what one bucket of its histograms cannot tell.
UNCHANGED, UNCHANGED_PERCENTILE = Decimal("0.005"), Decimal("0.041")


@dataclass(frozen=True)
class Question:
    """Which change to explain: a metric, two windows, and whose events. `team_ids` None means every team."""

    metric: Explained
    window: Window
    before: Window
    team_ids: tuple[int, ...] | None = None
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE

    def read(self, metrics: tuple[str, ...], window: Window, group_by=(), step=None, **filters) -> MetricQuery:
        return MetricQuery(
            metrics=metrics,
            start=window.start,
            end=window.end,
            step=step,
            group_by=group_by,
            filters=self.filters | filters,
            team_ids=self.team_ids,
            zone=self.zone,
        )


@dataclass(frozen=True)
class Unknown:
    """Calls whose cost is unknown, before and now."""

    unpriced: tuple[int, int] = (0, 0)
    unmetered: tuple[int, int] = (0, 0)

    @property
    def any(self) -> bool:
        return any((*self.unpriced, *self.unmetered))


@dataclass(frozen=True)
class Explanation:
    """The answer. `parts`, `rest` and `remainder` sum exactly to `change`, and their effects to `effects`.

    core: the parts that move with the change, as one; None where nothing stands out.
    state: "" where there is a change, else "nothing" (no data in either window), "no_before", "no_now", "unchanged".
    """

    question: Question
    window: Window
    before: Window
    slices: Slices
    parts: list[Part]
    rest: Part
    unknown: Unknown
    state: str
    core: Part | None = None
    new: list[rules.Novelty] = field(default_factory=list)
    onset: Onset | None = None
    step: timedelta = timedelta()
    suspects: list[Suspect] = field(default_factory=list)
    tenants: Slices | None = None

    @property
    def whole(self) -> Part:
        return self.slices.whole

    @property
    def change(self) -> Decimal | None:
        return self.slices.change

    @property
    def remainder(self) -> Decimal:
        """What the parts bring about together only; 0 for anything but percentiles."""
        return self.slices.remainder([*self.parts, self.rest])

    @property
    def effects(self) -> dict[str, Decimal]:
        return {
            name: sum((part.effects[name] for part in (*self.parts, self.rest)), Decimal(0))
            for name in self.rest.effects
        }

    @cached_property
    def dimensions(self) -> list[tuple[Slices, rules.Dimension]]:
        """Every dimension with the slices it belongs to, best explanation first."""
        found = [
            (slices, dimension)
            for slices in (self.slices, self.tenants)
            if slices
            for dimension in rules.dimensions(slices.cube)
        ]
        return sorted(found, key=lambda pair: (pair[1].name in self.question.metric.symptoms, -pair[1].best.score))


def explain(question: Question, now: datetime | None = None) -> Explanation:
    """Take the change apart. Raises QueryError where the roll-ups cannot answer."""
    now = now or timezone.now()
    with one_snapshot():
        return _explained(question, now)


def _explained(question: Question, now: datetime) -> Explanation:
    slices, window, before, unknown = _read_slices(question, _dimensions(question), now)
    tenants = _read_tenants(question, slices, now)
    state = _state(slices)
    of, clauses = _smallest(slices, tenants) if not state else (slices, [])
    parts, rest = of.split(clauses)
    found: dict[str, Any] = {"parts": parts, "rest": rest, "unknown": unknown, "state": state, "tenants": tenants}
    if not state:
        with_it = [clause for clause, part in zip(clauses, parts, strict=True) if (part.share or 0) > 0]
        found |= _when(question, window, of, with_it, now)
    return Explanation(question, window, before, slices, **found)


def _state(slices: Slices) -> str:
    whole = slices.whole
    if not whole.events0 and not whole.events1:
        return "nothing"
    if not whole.events0 or whole.before is None:
        return "no_before"
    if not whole.events1 or whole.now is None:
        return "no_now"
    size = max(abs(whole.before), abs(whole.now))
    least = UNCHANGED_PERCENTILE if slices.counts else UNCHANGED
    return "unchanged" if abs(slices.change or Decimal(0)) <= least * size else ""


def _smallest(slices: Slices, tenants: Slices | None) -> tuple[Slices, list[Clause]]:
    """The smallest set: tenants only where they explain clearly more, as of so many some always stand out."""
    clauses = rules.smallest_set(slices.cube)
    others = rules.smallest_set(tenants.cube) if tenants else []
    if tenants and _contrast(tenants.cube, others) > _contrast(slices.cube, clauses) + 2 * rules.NEAR:
        return tenants, others
    against = rules.counter_move(slices.cube, clauses) if slices.cube.explicable else None
    return slices, [*clauses, *([against] if against else [])]


def _contrast(cube: Cube, clauses: list[Clause]) -> float:
    cells = [place for clause in clauses for place in clause.cells]
    return cube.share(cells).contrast - rules.VALUE_COST * len(clauses) if cells else 0.0


# --- Cubes ----------------------------------------------------------------------------------------------------------
def _dimensions(question: Question) -> tuple[str, ...]:
    if "tenant" in question.filters:
        return ("team", *(name for name in DIMENSIONS if name in NARROW_DIMENSIONS))
    series = Series.objects.filter(team_id__in=question.team_ids) if question.team_ids is not None else Series.objects
    many = series.all()[: MANY_SERIES + 1].count() > MANY_SERIES
    return FEW if many else ("team", *DIMENSIONS)


def _read_slices(question: Question, names: tuple[str, ...], now: datetime) -> tuple[Slices, Window, Window, Unknown]:
    if question.metric.kind == "percentile":
        return _read_distributions(question, names, now)
    results = [query(question.read(_metrics(question.metric), w, names), now) for w in _windows(question)]
    cells = _cells(question.metric, *results)
    cube = Cube(names, cells, question.metric.sums, question.metric.weigh, question.metric.symptoms)
    before, window = (Window(result.start, result.end) for result in results)
    return Slices(question.metric, cube), window, before, _unknown(results)


def _windows(question: Question) -> tuple[Window, Window]:
    return question.before, question.window


def _metrics(metric: Explained) -> tuple[str, ...]:
    wanted = (metric.value, metric.base, "total_tokens", *UNKNOWN, "events")
    return tuple(dict.fromkeys(name for name in wanted if name))


def _cells(metric: Explained, before: MetricResult, now: MetricResult) -> list[Cell]:
    sides = [{row.key: _side(metric, row.values) for row in result.rows} for result in (before, now)]
    nothing = (0,) * 5
    return [
        Cell(
            key, *(number for pair in zip(*(side.get(key, nothing) for side in sides), strict=True) for number in pair)
        )
        for key in sides[0] | sides[1]
    ]


def _side(metric: Explained, values: dict) -> tuple[int, int, int, int, int]:
    """value, base, tokens, calls of unknown cost, events of a row; spend knows only what calls of known cost used."""
    amount, base, tokens = values[metric.value], values.get(metric.base, 0), values["total_tokens"]
    unknown = sum(values[name] for name in UNKNOWN) if metric.is_money else 0
    if metric.is_money:
        if amount is None and metric.kind == "sum":
            base = tokens = 0
        amount = int((amount or Decimal(0)) * COST_UNITS)
    return amount, base, tokens, unknown, values["events"]


def _unknown(results: list[MetricResult]) -> Unknown:
    counted = [[sum(row.values[name] for row in result.rows) for result in results] for name in UNKNOWN]
    return Unknown(*(tuple(pair) for pair in counted))


def _read_distributions(question: Question, names: tuple[str, ...], now: datetime):
    """For a percentile: the histograms of each combination; the cube counts what is slower than the old percentile."""
    read = [histograms(question.read((question.metric.metric,), w, names), now) for w in _windows(question)]
    counts = Counts.of(question.metric.quantile, *read)
    cube = Cube(names, counts.cells, "ratio", "base", question.metric.symptoms)
    before, window = _windows(question)
    return Slices(question.metric, cube, counts), window, before, Unknown()


def _read_tenants(question: Question, slices: Slices, now: datetime) -> Slices | None:
    """The same by tenant; what names none is what is left of the whole. None where figures by tenant are not kept."""
    if set(question.filters) - NARROW_DIMENSIONS - {"team", "tenant"} or question.metric.kind == "percentile":
        return None
    metric = question.metric
    results = [query(question.read(_metrics(metric), w, ("tenant",)), now) for w in _windows(question)]
    cells = [cell for cell in _cells(metric, *results) if cell.key[0]]
    named, whole = rules.added(cells), slices.cube.total
    left = (mine - theirs for mine, theirs in zip(whole[1:], named[1:], strict=True))
    cells.append(Cell(("",), *left))
    return Slices(metric, Cube(("tenant",), cells, metric.sums, metric.weigh)) if len(cells) > 1 else None


# --- When -----------------------------------------------------------------------------------------------------------
def _when(question: Question, window: Window, of: Slices, clauses: list[Clause], now: datetime) -> dict[str, Any]:
    """Since when the clauses (or everything) moved, what is new in them, and which changes are suspect."""
    cells = [place for clause in clauses for place in clause.cells] or list(range(len(of.cube.cells)))
    core, new = of.part(clauses[0].where if len(clauses) == 1 else (), cells), rules.novelties(of.cube, cells)
    step = _step(window, now)
    began = onset(_series(question, window, core, _filters(clauses), step, now), 1 if core.contribution > 0 else -1)
    width, at = WIDTH.get(step, timedelta(days=1)), began.at if began else window.start
    inside = {name: of.mostly(name, cells) for name in SCOPED if name in of.cube.dimensions}
    named = {novelty.dimension: {novelty.value} for novelty in new}
    found = suspects(_changes(question, at, width), at, width, inside, named)
    return {"core": core if clauses else None, "new": new, "onset": began, "step": width, "suspects": found}


def _filters(clauses: list[Clause]) -> dict[str, tuple[str, ...]]:
    """What to ask the metric query for to get the clauses: all of them if they are of one dimension, else the first."""
    names = {tuple(name for name, _ in clause.where) for clause in clauses}
    if len(names) == 1 and len(names.pop()) == 1:
        return {clauses[0].where[0][0]: tuple(clause.where[0][1] for clause in clauses)}
    return {name: (value,) for name, value in clauses[0].where} if clauses else {}


def _step(window: Window, now: datetime) -> str:
    """A step that leaves enough points and is kept as far back as the series reaches."""
    length = (window.end - window.start) * 1.5
    return kept_step(next((step for most, step in STEPS if length <= most), "day"), window.start - length, now)


def _series(question: Question, window: Window, part: Part, filters, step: str, now: datetime) -> list[Point]:
    """The slice over the window and half its length before, by what moved most: so the day's rhythm is left out."""
    metric = question.metric
    lead = Window(window.start - (window.end - window.start) / 2, window.end)
    if metric.kind == "percentile":
        result = query(question.read((metric.metric,), lead, (), step, **filters), now)
        return [Point(at, value) for at, value in result.points(metric.metric) if value is not None]
    result = query(question.read(_metrics(metric), lead, (), step, **filters), now)
    above, below = _ratio_of(metric, part)
    if below:
        return [
            Point(at, float(value or 0) / weight, weight)
            for at, value in result.points(above)
            if (weight := result.value(below, at=at))
        ]
    return _against(question, lead, result, step, filters, now)


def _ratio_of(metric: Explained, part: Part) -> tuple[str, str]:
    """What to divide by what: the cause that moved most."""
    largest = max(part.effects, key=lambda name: abs(part.effects[name]), default="volume")
    if metric.name == "spend":
        return {"tokens": ("total_tokens", "calls"), "price": ("cost_usd", "total_tokens")}.get(largest, ("", ""))
    return (metric.value, metric.base) if metric.kind == "ratio" or largest == "rate" else ("", "")


def _against(question: Question, lead: Window, result: MetricResult, step: str, filters, now: datetime) -> list[Point]:
    """Amounts by step, less those of the same time of day in the other window where the two are whole days apart."""
    name = question.metric.value
    amounts = [(at, float(value or 0)) for at, value in result.points(name)]
    shift = question.window.start - question.before.start
    earlier = Window(lead.start - shift, lead.end - shift)
    if shift % timedelta(days=1) or step == "day" or kept_step(step, earlier.start, now) != step:
        return [Point(at, value) for at, value in amounts]
    usual = query(question.read((name,), earlier, (), step, **filters), now).points(name)
    return [Point(at, value - float(old or 0)) for (at, value), (_, old) in zip(amounts, usual, strict=False)]


# --- Change markers ---------------------------------------------------------------------------------------------------
def _changes(question: Question, at: datetime, step: timedelta) -> list[Change]:
    reach = max(timedelta(minutes=30), 3 * step) * LOOK_BACK
    filters = {name: values for name, values in question.filters.items() if name in ("environment", "feature")}
    found = changes_between(question.team_ids or (), at - reach, at + 2 * step, filters)[:200]
    return [_change(marker) for marker in found]


def _change(marker: ChangeMarker) -> Change:
    names = {"environment": marker.environment, "service": marker.service, "feature": marker.feature}
    names["team"] = marker.team.slug if marker.team else ""
    words = frozenset(f"{marker.ref} {marker.title.replace(':', ' ')}".split())
    known = {name: value for name, value in names.items() if value}
    return Change(marker.pk, marker.at, marker.kind, marker.title, known, words, marker.url)
