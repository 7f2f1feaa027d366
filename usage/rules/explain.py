"""What changed between two windows: which values of which dimensions carry the change, in parts that sum exactly.

A *cube* holds one cell for each combination of dimension values, with what it did before and now. Every cell has a
*pull*: its part of the change of the whole. Pulls are integers of one common fraction, so they add up exactly over any
slice, in any order.

- Sum (spend, tokens, requests): the pull of a cell is its own change.
- Ratio N / D (error rate, tokens per call): with the mean ratio R̄ = (R0 + R1) / 2,

      pull = N1c/D1 − N0c/D0 − (D1c/D1 − D0c/D0) · R̄

  whose sum over all cells is R1 − R0, as the shares of D sum to 1 in both windows. For a group with traffic in both
  windows it equals (w0+w1)/2 · (r1−r0), its own ratio moved (*within*), plus (w1−w0) · ((r0+r1)/2 − R̄), traffic moved
  to or from it (*mix*): the symmetric form of Kitagawa (Journal of the American Statistical Association 50, 1955).

Which values explain a change is measured by **contrast**: their share of the change less their share of the base. It
keeps the two ideas of Adtributor (Bhagwan et al., NSDI 2014), explanatory power and surprise beyond what the base
leads to expect. Adtributor's Jensen–Shannon surprise is reported beside it, but does not rank: a prompt version that
replaces another is as surprising as can be, even where nothing changed. A share above 1 counts against the set, so that
"one up, another down" is no explanation of a whole that stood still. Sets grow within one dimension, then each of their
values is narrowed by further dimensions while nearly all of its change stays in (a beam search over at most three
dimensions, as Squeeze, Li et al., ISSRE 2019, and HotSpot, Sun et al., IEEE Access 2018, do).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import log2
from typing import Literal, NamedTuple

# Preferred first where two explain the same: what people decide about before how it is booked.
PREFERENCE = (
    "feature", "model", "provider", "fallback_from", "prompt_version", "tenant", "release", "variant", "experiment",
    "region", "tool_name", "team", "environment", "operation", "endpoint", "service", "initiator", "cost_center",
    "error_type", "status",
)  # fmt: skip
# What a failure looks like, not where it comes from: shown, never given as the cause.
SYMPTOMS = frozenset({"status", "error_type"})
# Values that take over each other's traffic. One that came or went is no cause by itself, for all its traffic is new:
# what changed is the feature, and the version is told as new in it (`novelties`). Others have at least the base they
# have now.
VERSIONS = frozenset({"prompt_version", "release"})

VALUE_COST = 0.05  # contrast that one more value must bring
OVERSHOOT = 0.25  # what a share of the change costs that exceeds all of it
NARROW = 0.3  # contrast within a clause that one more dimension must bring
SHED = 0.05  # share of the whole base that it must shed, and what it costs
KEPT = 0.9  # share of a clause's change that must stay in it
NEAR = 0.08  # contrasts that do not differ enough to prefer one dimension
LEAST = 0.15  # contrast below which nothing stands out
FURTHER = 0.1  # contrast that a further set must bring
COUNTER = 0.3  # share of the change that one value must take back to be named
ENOUGH = 0.85  # share of the change after which no further set is sought
MOST_VALUES = 5
MOST_DIMENSIONS = 3
COMES_OR_GOES = 20  # a value with so many times less traffic in one window came or went
BEAM = 4
CONSIDERED = 40  # values of a dimension looked at, largest pulls first

Key = tuple[str, ...]
Kind = Literal["sum", "ratio"]


class Cell(NamedTuple):
    """One combination of values, before (0) and now (1), in integers.

    value: the metric; base: what it is by (calls, requests …); unknown: calls whose value is not known; events: all.
    """

    key: Key
    value0: int = 0
    value1: int = 0
    base0: int = 0
    base1: int = 0
    tokens0: int = 0
    tokens1: int = 0
    unknown0: int = 0
    unknown1: int = 0
    events0: int = 0
    events1: int = 0


def added(cells: Iterable[Cell], key: Key = ()) -> Cell:
    """All cells as one."""
    columns = list(zip(*(cell[1:] for cell in cells), strict=True))
    return Cell(key, *map(sum, columns)) if columns else Cell(key)


class Clause(NamedTuple):
    """Values that must all hold: (("feature", "chat"), ("model", "gpt-4o"))."""

    where: tuple[tuple[str, str], ...]
    cells: tuple[int, ...]  # the places of its cells in the cube


class Share(NamedTuple):
    """A slice's share of the change and of the base."""

    change: float
    base: float

    @property
    def contrast(self) -> float:
        return min(self.change, 1 - (self.change - 1) * OVERSHOOT) - self.base


class Sums(NamedTuple):
    """Pull and weights of a slice."""

    pull: int
    before: int
    now: int

    def plus(self, other: "Sums") -> "Sums":
        return Sums(self.pull + other.pull, self.before + other.before, self.now + other.now)


@dataclass(frozen=True)
class Cube:
    """Cells by dimensions. `weigh` says what the base of a slice is: its value before, or its traffic."""

    dimensions: tuple[str, ...]
    cells: Sequence[Cell]
    kind: Kind = "sum"
    weigh: Literal["value", "base"] = "value"
    symptoms: frozenset[str] = SYMPTOMS

    @cached_property
    def total(self) -> Cell:
        return added(self.cells)

    @cached_property
    def scale(self) -> int:
        """Pulls are whole numbers of 1/scale."""
        return 1 if self.kind == "sum" else 2 * self.total.base0**2 * self.total.base1**2

    @cached_property
    def pulls(self) -> list[int]:
        if self.kind == "sum":
            return [cell.value1 - cell.value0 for cell in self.cells]
        whole = self.total
        d0, d1 = whole.base0, whole.base1
        now, before, mean = 2 * d0 * d0 * d1, 2 * d0 * d1 * d1, whole.value0 * d1 + whole.value1 * d0
        return [
            c.value1 * now - c.value0 * before - (c.base1 * d0 - c.base0 * d1) * mean if any(c[1:5]) else 0
            for c in self.cells
        ]

    @cached_property
    def weights(self) -> list[int]:
        """What each cell had before: its value, or its traffic; of a ratio, its mean share of the traffic."""
        if self.weigh == "value":
            return [abs(cell.value0) for cell in self.cells]
        if self.kind == "sum":
            return [cell.base0 for cell in self.cells]
        d0, d1 = self.total.base0, self.total.base1
        return [cell.base0 * d1 + cell.base1 * d0 for cell in self.cells]

    @cached_property
    def weights_now(self) -> list[int]:
        return [abs(cell.value1) if self.weigh == "value" else cell.base1 for cell in self.cells]

    @cached_property
    def pull(self) -> int:
        return sum(self.pulls)

    @cached_property
    def sizes(self) -> tuple[int, int]:
        return sum(self.weights), sum(self.weights_now)

    @property
    def explicable(self) -> bool:
        """Whether there is a change with sides to compare."""
        return bool(self.pull) if self.kind == "sum" else bool(self.scale and self.pull)

    def contribution(self, cells: Iterable[int]) -> Fraction:
        """What these cells add to the change of the whole, exactly."""
        return Fraction(sum(self.pulls[place] for place in cells), self.scale)

    def within(self, cells: Iterable[int]) -> Fraction:
        """The part of a ratio's contribution that comes from the slice's own ratio; the rest of it is mix."""
        cells = list(cells)
        whole, part = self.total, added(self.cells[place] for place in cells)
        if not part.base0 and not part.base1:
            return self.contribution(cells)
        if not (part.base0 and part.base1):
            return Fraction(0)
        weight = Fraction(part.base0, whole.base0) + Fraction(part.base1, whole.base1)
        return weight / 2 * (Fraction(part.value1, part.base1) - Fraction(part.value0, part.base0))

    def share(self, cells: Iterable[int], versions: bool = False) -> Share:
        return self.share_of(self.sums(list(cells)), versions)

    def share_of(self, sums: Sums, versions: bool) -> Share:
        """The shares of a slice; with `versions`, its base is what it serves now where that is more."""
        before, now = (part / size if size else 0.0 for part, size in zip(sums[1:], self.sizes, strict=True))
        return Share(sums.pull / self.pull, max(before, now) if versions else before)

    def by(self, dimension: str, cells: Iterable[int] | None = None) -> dict[str, list[int]]:
        """Value → its cells, among `cells` (default: all)."""
        place = self.dimensions.index(dimension)
        found: dict[str, list[int]] = {}
        for number in range(len(self.cells)) if cells is None else cells:
            found.setdefault(self.cells[number].key[place], []).append(number)
        return found

    def sums(self, cells: Sequence[int]) -> Sums:
        columns = (self.pulls, self.weights, self.weights_now)
        return Sums(*(sum(map(column.__getitem__, cells)) for column in columns))


NO_SHARE = Share(0.0, 0.0)


@dataclass(frozen=True)
class Candidate:
    """Some clauses and how well they explain."""

    clauses: tuple[Clause, ...]
    share: Share = NO_SHARE
    cost: float = 0.0

    @property
    def score(self) -> float:
        return self.share.contrast - self.cost

    @property
    def dimension(self) -> str:
        return self.clauses[0].where[0][0]

    @property
    def order(self) -> tuple:
        """Among equals: a preferred dimension, few values and few dimensions, then names."""
        many = 2 * (len(self.clauses) - 1) + 5 * (max(len(clause.where) for clause in self.clauses) - 1)
        return PREFERENCE.index(self.dimension) + many, many, [clause.where for clause in self.clauses]


NOTHING = Candidate(())


@dataclass(frozen=True)
class Dimension:
    """How well one dimension explains the change. `values`: value → cells; surprise in bits, 0 to 1."""

    name: str
    best: Candidate
    surprise: float
    values: dict[str, list[int]] = field(repr=False)


# --- Dimensions -----------------------------------------------------------------------------------------------------
def dimensions(cube: Cube) -> list[Dimension]:
    """The dimensions with more than one value, best explanation first; symptoms come last."""
    found = [
        Dimension(name, best_of(cube, name, groups) if cube.explicable else NOTHING, surprise(cube, groups), groups)
        for name in cube.dimensions
        if len(groups := cube.by(name)) > 1
    ]
    return sorted(found, key=lambda d: (d.name in cube.symptoms, -round(d.best.score, 9), PREFERENCE.index(d.name)))


def surprise(cube: Cube, groups: dict[str, list[int]]) -> float:
    """Jensen–Shannon divergence between the values' shares before and now, in bits (Adtributor's surprise)."""
    sides = [
        (sum(cube.cells[n].value0 for n in cells), sum(cube.cells[n].value1 for n in cells))
        for cells in groups.values()
    ]
    before, now = sum(side[0] for side in sides), sum(side[1] for side in sides)
    if not before or not now:
        return 0.0
    shares = sorted((max(old / before, 0.0), max(new / now, 0.0)) for old, new in sides)
    return max(sum(_divergence(p, q) + _divergence(q, p) for p, q in shares) / 2, 0.0)


def _divergence(p: float, q: float) -> float:
    return p * log2(2 * p / (p + q)) if p else 0.0


def best_of(cube: Cube, name: str, groups: dict[str, list[int]]) -> Candidate:
    """The set of values of one dimension with the highest score, grown one value at a time."""
    sums, versions = {value: cube.sums(cells) for value, cells in groups.items()}, name in VERSIONS
    values = [value for value in sums if not versions or _steady(cube, groups[value])]
    waiting = sorted(values, key=lambda value: (-abs(sums[value].pull), value))[:CONSIDERED]
    chosen: list[str] = []
    best, so_far = NOTHING, Sums(0, 0, 0)
    while waiting and len(chosen) < MOST_VALUES:
        value = max(waiting, key=lambda v: cube.share_of(so_far.plus(sums[v]), versions).contrast)
        so_far = so_far.plus(sums[value])
        share, cost = cube.share_of(so_far, versions), VALUE_COST * len(chosen)
        if chosen and share.contrast - cost <= best.score:
            break
        chosen.append(value)
        waiting.remove(value)
        best = Candidate(tuple(Clause(((name, one),), tuple(groups[one])) for one in chosen), share, cost)
    return best


def _steady(cube: Cube, cells: Sequence[int]) -> bool:
    """Whether a slice had traffic worth the name in both windows."""
    before, now = _traffic(cube, cells)
    return min(before, now) * COMES_OR_GOES > max(before, now)


# --- The smallest set -------------------------------------------------------------------------------------------------
def smallest_set(cube: Cube) -> list[Clause]:
    """The fewest clauses that explain most of the change, apart from each other; [] where nothing stands out."""
    left = list(range(len(cube.cells)))
    found: list[Clause] = []
    explained = 0.0
    while cube.explicable and len(found) < MOST_VALUES and explained < ENOUGH:
        best = _best_set(cube, left)
        if not best or best.score < (FURTHER if found else LEAST):
            break
        found += best.clauses
        taken = {place for clause in best.clauses for place in clause.cells}
        left = [place for place in left if place not in taken]
        explained += best.share.change
    return found[:MOST_VALUES]


def _best_set(cube: Cube, left: list[int]) -> Candidate | None:
    sets: dict[frozenset[int], Candidate] = {}
    for name in sorted(cube.dimensions, key=PREFERENCE.index):
        if name not in cube.symptoms and (found := best_of(cube, name, cube.by(name, left))).score > 0:
            sets.setdefault(frozenset(place for clause in found.clauses for place in clause.cells), found)
    beam = sorted(sets.values(), key=lambda found: (-found.score, found.order))[:BEAM]
    return preferred([_narrowed(cube, candidate) for candidate in beam])


def preferred(candidates: list[Candidate]) -> Candidate | None:
    """The best; among those nearly as good, that of the preferred dimension."""
    top = max((candidate.score for candidate in candidates), default=0.0)
    near = [candidate for candidate in candidates if candidate.score > top - NEAR]
    return min(near, key=lambda candidate: candidate.order, default=None)


def _narrowed(cube: Cube, candidate: Candidate) -> Candidate:
    """Each clause narrowed by further dimensions, where that keeps its change and sheds much of its base."""
    clauses = candidate.clauses
    for _ in range(MOST_DIMENSIONS - 1):
        clauses = tuple(_narrower(cube, clause) or clause for clause in clauses)
    if clauses == candidate.clauses:
        return candidate
    share = cube.share((place for clause in clauses for place in clause.cells), _has_version(clauses))
    more = max(len(clause.where) for clause in clauses) - 1
    return replace(candidate, clauses=clauses, share=share, cost=candidate.cost + SHED * more)


def _narrower(cube: Cube, clause: Clause) -> Clause | None:
    """The clause with one more value that holds nearly all of its change in clearly less of its base."""
    taken, whole = {name for name, _ in clause.where}, cube.sums(clause.cells)
    best, bar = None, NARROW
    for name in cube.dimensions:
        if name in taken or name in cube.symptoms or not whole.pull:
            continue
        for value, cells in sorted(cube.by(name, clause.cells).items()):
            if name in VERSIONS and not _steady(cube, cells):
                continue
            share = _within(cube.sums(cells), whole, not VERSIONS.isdisjoint({name, *taken}))
            shed = (whole.before - cube.sums(cells).before) / (cube.sizes[0] or 1)
            if share.change >= KEPT and shed >= SHED and share.contrast > bar:
                best, bar = Clause((*clause.where, (name, value)), tuple(cells)), share.contrast
    return best


def _within(part: Sums, whole: Sums, versions: bool) -> Share:
    """A part's shares of its clause."""
    before, now = (mine / all_of_it if all_of_it else 0.0 for mine, all_of_it in zip(part[1:], whole[1:], strict=True))
    return Share(part.pull / whole.pull, max(before, now) if versions else before)


def _has_version(clauses: Iterable[Clause]) -> bool:
    return any(name in VERSIONS for clause in clauses for name, _ in clause.where)


def counter_move(cube: Cube, clauses: Sequence[Clause]) -> Clause | None:
    """The value outside the set that moved most against the change, if it hides much of it."""
    taken = {place for clause in clauses for place in clause.cells}
    left = [place for place in range(len(cube.cells)) if place not in taken]
    found = [
        (-cube.share(cells).change, -PREFERENCE.index(name), value, cells)
        for name in cube.dimensions
        if name not in cube.symptoms | VERSIONS and len(groups := cube.by(name, left)) > 1
        for value, cells in groups.items()
    ]
    against = [
        (share - cube.share(cells).base, order, value, cells)
        for share, order, value, cells in found
        if share >= COUNTER
    ]
    if not against:
        return None
    _, order, value, cells = max(against)
    return Clause(((PREFERENCE[-order], value),), tuple(cells))


# --- What is new in a slice -------------------------------------------------------------------------------------------
NOVEL = ("prompt_version", "release", "model", "provider")
NOVEL_SHARE = 0.3  # share of a slice's traffic that a new value must serve to be told


class Novelty(NamedTuple):
    """A value that a slice did not have before, or hardly; `instead` is what it mostly had ('' if nothing)."""

    dimension: str
    value: str
    instead: str


def novelties(cube: Cube, cells: Iterable[int]) -> list[Novelty]:
    """Values that are new in these cells and carry much of them now."""
    cells = list(cells)
    total = _traffic(cube, cells)[1]
    found = []
    for name in (name for name in NOVEL if name in cube.dimensions):
        groups = {value: _traffic(cube, own) for value, own in cube.by(name, cells).items() if value}
        usual = max(groups, key=lambda value: (groups[value][0], value), default="")
        for value, (before, now) in sorted(groups.items()):
            if value != usual and now > NOVEL_SHARE * total and before * COMES_OR_GOES < now:
                found.append(Novelty(name, value, usual if groups[usual][0] else ""))
    return found


def _traffic(cube: Cube, cells: Sequence[int]) -> tuple[int, int]:
    """How much passed through a slice, before and now: rare failures would make everything new."""
    part = added(cube.cells[place] for place in cells)
    return (part.base0, part.base1) if cube.total.base1 else (part.value0, part.value1)
