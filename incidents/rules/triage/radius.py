"""The blast radius: the smallest set of values that explains most of what is bad, and what is not hit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from incidents.rules.triage.signals import Reading, Signal, score
from incidents.rules.triage.tables import Place, Table
from usage.rules import explain
from usage.rules.explain import Clause

Where = tuple[tuple[str, str], ...]

LEAST_BASE = 10  # of fewer calls it cannot be said that a value is not hit
SPARED_SCORE = 2.0
HIT_SCORE = 3.0
PARTING = ("feature", "provider", "model", "prompt_version", "tool_name")  # dimensions people act on
OF_PROVIDERS = frozenset({"calls_fail", "limited", "slow"})
FEWEST = 1  # calls that are not hit, beside those that plainly are
PLAINLY, LIKE_INSIDE = 0.5, 0.5  # strength, and part of the rate inside, of a value that is hit just the same
SHOWN = 6
VERSIONS = ("prompt_version", "release", "model")
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


def radius(signal: Signal, table: Table, tenants: Table | None = None, before: Table | None = None) -> Radius:
    """The smallest set, by tenant only where that explains clearly more: of so many, some always stand out."""
    of, clauses = table, explain.smallest_set(table.cube(signal))
    if tenants and tenants.knows(signal):
        others = explain.smallest_set(tenants.cube(signal))
        if _contrast(tenants, signal, others) > _contrast(table, signal, clauses) + 2 * explain.NEAR:
            of, clauses = tenants, others
    wheres = tuple(sorted({clause.where for clause in clauses})) or _parted(of, signal)
    wheres = _by_provider(of, signal, _with_companions(of, signal, wheres))
    inside = sorted({place for where in wheres for place in of.matching(where)})
    outside = sorted(set(range(len(of.keys))) - set(inside)) if inside else []
    within = of.reading(signal, inside or None)
    new = newcomers(table, before, wheres) if of is table and before else []
    tables = [one for one in (table, tenants) if one and one.knows(signal)]
    return Radius(signal, wheres, within, of.reading(signal, outside), _dimensions(signal, tables), new)


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
    return tuple(sorted((("provider", value),) for value in named)) if named and whole == inside else wheres


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


def _dimensions(signal: Signal, tables: Sequence[Table]) -> list[Dimension]:
    found = []
    for table in tables:
        by_name: dict[str, list[Place]] = {}
        for place in table.places(signal):
            by_name.setdefault(place.dimension, []).append(place)
        found += [_dimension(signal, name, by_name[name]) for name in table.dimensions if name in by_name]
    return [one for one in found if one.hit or one.spared]


def _dimension(signal: Signal, name: str, places: list[Place]) -> Dimension:
    scored = [(score(signal, place.reading), place) for place in places]
    hit = [place for sure, place in scored if place.strength and sure is not None and sure >= HIT_SCORE]
    spared = [
        place for sure, place in scored if sure is not None and sure < SPARED_SCORE and place.reading.base >= LEAST_BASE
    ]
    return Dimension(name, hit[:SHOWN], sorted(spared, key=lambda place: -place.reading.base)[:SHOWN])


def newcomers(table: Table, before: Table, wheres: Sequence[Where]) -> list[Newcomer]:
    """Versions and models that carry much of the slice now and hardly any of it before the window."""
    sides = []
    for one, counter in ((table, "events"), (before, "events")):
        places = {place for where in wheres for place in one.matching(_steady(where))} or range(len(one.keys))
        column = one.column("now", counter)
        sides.append(
            {name: _by_value(one, column, name, sorted(places)) for name in VERSIONS if name in one.dimensions}
        )
    return [one for name in sides[0] for one in _new(name, sides[0][name], sides[1][name])]


def _steady(where: Where) -> Where:
    """The clause without versions, which may be the newcomers themselves; but not without anything."""
    return tuple(pair for pair in where if pair[0] not in VERSIONS) or where


def _by_value(table: Table, column: np.ndarray, name: str, places: Sequence[int]) -> dict[str, int]:
    number = table.dimensions.index(name)
    found: dict[str, int] = {}
    for place in places:
        if value := table.keys[place][number]:
            found[value] = found.get(value, 0) + int(column[place])
    return found


def _new(name: str, now: dict[str, int], before: dict[str, int]) -> list[Newcomer]:
    whole, old = sum(now.values()), sum(before.values())
    if not whole or not old:
        return []
    usual = max(before, key=lambda value: (before[value], value))
    return [
        Newcomer(name, value, usual)
        for value, count in sorted(now.items())
        if count >= NEW_NOW * whole and before.get(value, 0) <= NEW_BEFORE * old
    ]
