"""The blast radius: the smallest set of values that explains most of what is bad, and what is not hit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from incidents.rules.triage.signals import Reading, Signal, likelihood_root, rise, score
from incidents.rules.triage.tables import Place, Table
from usage.rules import explain
from usage.rules.explain import Clause

Where = tuple[tuple[str, str], ...]
Served = dict[tuple[str, str], int]  # (owner, value) → events

LEAST_BASE = 10  # of fewer calls it cannot be said that a value is not hit
SPARED_SCORE = 2.0
HIT_SCORE = 3.0
PARTING = ("feature", "provider", "model", "prompt_version", "tool_name")  # dimensions people act on
OF_PROVIDERS = frozenset({"calls_fail", "limited", "slow"})
FEWEST = 1  # calls that are not hit, beside those that plainly are
PLAINLY, LIKE_INSIDE = 0.5, 0.5  # strength, and part of the rate inside, of a value that is hit just the same
SHOWN = 6
# Dimension → whose version it is: one is new only where its owner had another before.
VERSIONS = {"prompt_version": "feature", "release": "service", "model": "feature"}
LEAST_OLD = 5  # events of an owner before, from which on it is known what it had
NEW_NOW, NEW_BEFORE = 0.3, 0.05  # a new value serves so much of the slice now, and at most so much of it before


@dataclass(frozen=True)
class Dimension:
    """One dimension: the values that are hit, worst first, and those that are not although they have traffic."""

    name: str
    hit: list[Place]
    spared: list[Place]


@dataclass(frozen=True)
class Newcomer:
    """A value that the slice did not have before the window: `instead` is what it mostly had."""

    dimension: str
    value: str
    instead: str


@dataclass(frozen=True)
class Radius:
    """Where a signal is bad. `clauses` empty: spread over everything.

    inside, outside: what the signal reads in the clauses and in all other traffic. new: versions and models that the
    clauses did not have before.
    """

    signal: Signal
    clauses: tuple[Where, ...]
    inside: Reading
    outside: Reading
    dimensions: list[Dimension]
    new: list[Newcomer] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Share of everything bad that lies inside; of an amount, of its rise over the usual."""
        parts = [
            one.bad - (one.usual_bad if self.signal.kind == "amount" else 0) for one in (self.inside, self.outside)
        ]
        return min(parts[0] / sum(parts), 1.0) if sum(parts) > 0 else None

    @property
    def traffic(self) -> float | None:
        whole = self.inside.base + self.outside.base
        return self.inside.base / whole if whole else None

    @property
    def lift(self) -> float | None:
        """How many times as often it is bad inside as outside; None where nothing outside is bad."""
        inside, outside = self.inside.rate, self.outside.rate
        return inside / outside if inside is not None and outside else None

    @property
    def values(self) -> dict[str, list[str]]:
        """Dimension → values, as an incident's scope has them: those of every clause, with the newcomers."""
        found: dict[str, list[str]] = {}
        pairs = [pair for clause in self.clauses for pair in clause]
        for name, value in [*pairs, *((one.dimension, one.value) for one in self.new)]:
            if value not in found.setdefault(name, []):
                found[name].append(value)
        return found


def radius(
    signal: Signal,
    table: Table,
    tenants: Table | None = None,
    before: Table | None = None,
    told: frozenset[str] = frozenset(),
) -> Radius:
    """The smallest set, by tenant only where that explains clearly more: of so many, some always stand out.

    told: words of the changes recorded lately; a version among them that earlier weeks did not have is new too.
    """
    of, clauses = table, explain.smallest_set(table.cube(signal))
    if tenants and tenants.knows(signal):
        others = explain.smallest_set(tenants.cube(signal))
        if _contrast(tenants, signal, others) > _contrast(table, signal, clauses) + 2 * explain.NEAR:
            of, clauses = tenants, others
    found = (_plainly(of, signal, clause.where) for clause in clauses)
    wheres = tuple(sorted(set(found))) or _parted(of, signal)
    wheres = _by_provider(of, signal, _with_companions(of, signal, wheres))
    inside = sorted({place for where in wheres for place in of.matching(where)})
    outside = sorted(set(range(len(of.keys))) - set(inside)) if inside else []
    within = of.reading(signal, inside or None)
    new = newcomers(table, before, wheres, told) if of is table and before else []
    tables = [one for one in (table, tenants) if one and one.knows(signal)]
    return Radius(signal, wheres, within, of.reading(signal, outside), _dimensions(signal, tables, within), new)


def _plainly(table: Table, signal: Signal, where: Where) -> Where:
    """The clause without its narrowing, unless what that leaves out is surely better: of few calls some always are."""
    widest = (min(where, key=lambda pair: explain.PREFERENCE.index(pair[0])),)
    inside = set(table.matching(where))
    return where if _is_better(table, signal, set(table.matching(widest)) - inside, inside) else widest


def _is_better(table: Table, signal: Signal, outside: set[int], inside: set[int]) -> bool:
    """Whether a signal is surely less bad outside; amounts are taken at their word."""
    if signal.kind == "amount":
        return bool(outside)
    left, held = (table.reading(signal, sorted(places)) for places in (outside, inside))
    return bool(left.base) and likelihood_root(Reading(left.bad, left.base, held.bad, held.base)) <= -HIT_SCORE


def _parted(table: Table, signal: Signal) -> tuple[Where, ...]:
    """Where most traffic is hit, no small set explains it; but a dimension may still part the hit from the others."""
    places = table.places(signal)
    for name in PARTING if signal.kind == "share" else ():
        mine = [place for place in places if place.dimension == name]
        hit = [place for place in mine if place.strength >= PLAINLY]
        bad, base = _summed([place for place in mine if place.strength < PLAINLY])
        least = LIKE_INSIDE * min((place.reading.rate or 0.0 for place in hit), default=0.0)
        if 0 < len(hit) <= explain.MOST_VALUES and base >= FEWEST and bad < least * base:
            return tuple(sorted(((name, place.value),) for place in hit))
    return ()


def _by_provider(table: Table, signal: Signal, wheres: tuple[Where, ...]) -> tuple[Where, ...]:
    """What makes up all calls to a provider is that provider: it is what can be failed over."""
    names = {name for where in wheres for name, _ in where}
    if signal.name not in OF_PROVIDERS or len(names) != 1 or "provider" not in table.dimensions:
        return wheres
    has = table.column("now", signal.base)
    inside = {place for where in wheres for place in table.matching(where) if has[place]}
    named = [value for value, places in table.by_dimension["provider"].items() if inside.intersection(places)]
    whole = {place for value in named for place in table.by_dimension["provider"][value] if has[place]}
    # Models may leave out a few calls by chance; anything else must be just the calls to these providers.
    same = not _is_better(table, signal, whole - inside, inside) if names == {"model"} else whole == inside
    if not same or not named or len(named) == len(table.by_dimension["provider"]):
        return wheres
    return tuple(sorted((("provider", value),) for value in named))


def _summed(places: Sequence[Place]) -> tuple[float, int]:
    return sum(place.reading.bad for place in places), sum(place.reading.base for place in places)


def _with_companions(table: Table, signal: Signal, wheres: tuple[Where, ...]) -> tuple[Where, ...]:
    """The clauses, with further values of their one dimension that are as plainly hit though they add little."""
    names = {tuple(name for name, _ in where) for where in wheres}
    if len(names) != 1 or len(name := names.pop()) != 1:
        return wheres
    least = LIKE_INSIDE * (table.reading(signal, [p for where in wheres for p in table.matching(where)]).rate or 0.0)
    more = {
        ((place.dimension, place.value),)
        for place in table.places(signal)
        if (place.dimension,) == name and place.strength >= PLAINLY and (place.reading.rate or 0.0) >= least
    }
    return tuple(sorted({*wheres, *more}))


def _contrast(table: Table, signal: Signal, clauses: Sequence[Clause]) -> float:
    cells = [place for clause in clauses for place in clause.cells]
    if not cells:
        return 0.0
    return table.cube(signal).share(cells).contrast - explain.VALUE_COST * len(clauses)


def _dimensions(signal: Signal, tables: Sequence[Table], inside: Reading) -> list[Dimension]:
    found = []
    for table in tables:
        by_name: dict[str, list[Place]] = {}
        for place in table.places(signal):
            by_name.setdefault(place.dimension, []).append(place)
        found += [_dimension(signal, name, by_name[name], inside) for name in table.dimensions if name in by_name]
    return [one for one in found if one.hit or one.spared]


def _dimension(signal: Signal, name: str, places: list[Place], inside: Reading) -> Dimension:
    scored = [(score(signal, place.reading), place) for place in places]
    hit = [place for sure, place in scored if place.strength and sure is not None and sure >= HIT_SCORE]
    spared = [
        place
        for sure, place in scored
        if sure is not None and sure < SPARED_SCORE and place.reading.base >= LEAST_BASE
        if rise(signal, place.reading) <= LIKE_INSIDE * rise(signal, inside)
    ]
    return Dimension(name, hit[:SHOWN], sorted(spared, key=lambda place: -place.reading.base)[:SHOWN])


def newcomers(table: Table, before: Table, wheres: Sequence[Where], told: frozenset[str]) -> list[Newcomer]:
    """Versions and models that carry much of the slice now and hardly any of it before the window, or in earlier
    weeks where a change recorded lately names them.
    """
    now = _serving(table, wheres, "now")
    fresh = _fresh(now, _serving(before, wheres, "now"))
    return fresh or [one for one in _fresh(now, _serving(table, wheres, "usual")) if one.value in told]


def _serving(table: Table, wheres: Sequence[Where], side: str) -> dict[str, Served]:
    """Dimension → (owner, value) → events of the slice."""
    places = {place for where in wheres for place in table.matching(_steady(where))} or range(len(table.keys))
    column = table.column(side, "events")
    return {name: _by_value(table, column, name, sorted(places)) for name in VERSIONS if name in table.dimensions}


def _fresh(now: dict[str, Served], old: dict[str, Served]) -> list[Newcomer]:
    return [one for name in now for one in _new(name, now[name], old[name])]


def _steady(where: Where) -> Where:
    """The clause without versions, which may be the newcomers themselves; but not without anything."""
    return tuple(pair for pair in where if pair[0] not in VERSIONS) or where


def _by_value(table: Table, column: np.ndarray, name: str, places: Sequence[int]) -> Served:
    number, owner = table.dimensions.index(name), VERSIONS[name]
    owner_number = table.dimensions.index(owner) if owner in table.dimensions else None
    found: Served = {}
    for place in places:
        key = table.keys[place]
        if value := key[number]:
            pair = ("" if owner_number is None else key[owner_number], value)
            found[pair] = found.get(pair, 0) + int(column[place])
    return found


def _new(name: str, now: Served, before: Served) -> list[Newcomer]:
    """What serves much of the slice now, of an owner that had something else before."""
    whole, found = sum(now.values()), []
    for (owner, value), count in sorted(now.items()):
        old = {one: number for (of, one), number in before.items() if of == owner}
        total = sum(old.values())
        if count >= NEW_NOW * whole and total >= LEAST_OLD and old.get(value, 0) <= NEW_BEFORE * total:
            found.append(Newcomer(name, value, max(old, key=lambda one: (old[one], one))))
    return found
