"""Counters by every combination of the dimensions, now and as usual, and what a signal reads in a part of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from incidents.rules.triage.signals import NOTHING, Reading, Signal, score, strength
from usage.rules.explain import Cell, Cube

Key = tuple[str, ...]
# Combinations whose usual rate is taken for what a call would usually do, finest first, with how many calls they need.
LIKE = (("team", "feature", "provider", "model", "tool_name"), ("team", "feature"), ())
LIKE_NEEDS = {"share": 50, "amount": 5}
PARTS = 1000  # a cube has whole numbers: expected figures are counted in thousandths


@dataclass(frozen=True)
class Place:
    """A value of a dimension ("" and "": everything), what the signal reads there, and how strongly it rose."""

    dimension: str
    value: str
    reading: Reading
    strength: float

    @property
    def is_all(self) -> bool:
        return not self.dimension


@dataclass(frozen=True)
class Table:
    """counters: names of the columns of `now` and `usual`, which are arrays of whole numbers, keys × counters."""

    dimensions: tuple[str, ...]
    counters: tuple[str, ...]
    keys: list[Key]
    now: np.ndarray
    usual: np.ndarray

    @classmethod
    def of(cls, dimensions: tuple[str, ...], counters: tuple[str, ...], now: dict, usual: dict) -> "Table":
        """From key → counts of either side."""
        keys, nothing = list(now | usual), [0] * len(counters)
        sides = [np.array([side.get(key, nothing) for key in keys], dtype=np.int64) for side in (now, usual)]
        now_array, usual_array = (side.reshape(len(keys), len(counters)) for side in sides)
        return cls(dimensions, counters, keys, now_array, usual_array)

    def without(self, *counters: str) -> "Table":
        """The same without some counters: what it says of them would mislead."""
        kept = [place for place, name in enumerate(self.counters) if name not in counters]
        names = tuple(self.counters[place] for place in kept)
        return replace(self, counters=names, now=self.now[:, kept], usual=self.usual[:, kept])

    def within(self, scope: dict[str, tuple[str, ...]]) -> "Table":
        """The keys that have one of the values in each of these dimensions."""
        wanted = [(self.dimensions.index(name), values) for name, values in scope.items() if name in self.dimensions]
        kept = [place for place, key in enumerate(self.keys) if all(key[n] in values for n, values in wanted)]
        if len(kept) == len(self.keys):
            return self
        keys = [self.keys[place] for place in kept]
        return replace(self, keys=keys, now=self.now[kept], usual=self.usual[kept])

    def knows(self, signal: Signal) -> bool:
        return {signal.bad, signal.base} <= set(self.counters)

    def column(self, side: str, counter: str) -> np.ndarray:
        return getattr(self, side)[:, self.counters.index(counter)]

    def sum(self, counter: str, side: str = "now") -> int:
        return int(self.column(side, counter).sum())

    def groups(self, names: Sequence[str]) -> dict[Key, list[int]]:
        """Values of these dimensions → places of their keys."""
        chosen = [self.dimensions.index(name) for name in names if name in self.dimensions]
        found: dict[Key, list[int]] = {}
        for place, key in enumerate(self.keys):
            found.setdefault(tuple(key[number] for number in chosen), []).append(place)
        return found

    @cached_property
    def by_dimension(self) -> dict[str, dict[str, list[int]]]:
        """Dimension → value → places; the blank value is not one."""
        return {
            name: {value: places for (value,), places in self.groups((name,)).items() if value}
            for name in self.dimensions
        }

    # --- Signals --------------------------------------------------------------------------------------------------
    def reading(self, signal: Signal, places: Sequence[int] | None = None) -> Reading:
        chosen = slice(None) if places is None else list(places)
        bad, base = (int(self.column("now", name)[chosen].sum()) for name in (signal.bad, signal.base))
        if signal.kind == "amount":
            return Reading(bad, base, float(self.expected(signal)[chosen].sum()), base)
        usual_bad, usual_base = (int(self.column("usual", name)[chosen].sum()) for name in (signal.bad, signal.base))
        return Reading(bad, base, usual_bad, usual_base)

    def expected(self, signal: Signal) -> np.ndarray:
        """What each key's calls of now would have at the usual rate of their like; nothing where none is known."""
        bad, base = (self.column("usual", name) for name in (signal.bad, signal.base))
        rates = np.zeros(len(self.keys))
        known = np.zeros(len(self.keys), dtype=bool)
        for names in LIKE:
            for places in self.groups(names).values():
                size = base[places].sum()
                if size >= LIKE_NEEDS[signal.kind] and not known[places].all():
                    left = [place for place in places if not known[place]]
                    rates[left], known[left] = bad[places].sum() / size, True
        return rates * self.column("now", signal.base)

    def places(self, signal: Signal) -> list[Place]:
        """Everything, and each value of each dimension that has the signal, strongest first."""
        if not self.knows(signal):
            return []
        parts = [("", "", None)] + [
            (name, value, places) for name, values in self.by_dimension.items() for value, places in values.items()
        ]
        read = [(name, value, self.reading(signal, places)) for name, value, places in parts]
        found = [Place(name, value, one, strength(signal, one)) for name, value, one in read if one.base]
        return sorted(found, key=lambda place: (-place.strength, -(score(signal, place.reading) or 0.0)))

    def cube(self, signal: Signal) -> Cube:
        """The rise of the signal over what is expected of the same calls, for usage.rules.explain."""
        bad, base = (self.column("now", name) for name in (signal.bad, signal.base))
        expected = np.rint(self.expected(signal) * PARTS).astype(np.int64)
        cells = [
            Cell(key, value0=int(expected[n]), value1=int(bad[n]) * PARTS, base0=int(base[n]), base1=int(base[n]))
            for n, key in enumerate(self.keys)
            if base[n]
        ]
        return Cube(self.dimensions, cells, "sum", "base", frozenset())

    def matching(self, where: Sequence[tuple[str, str]]) -> list[int]:
        """Places of the keys with all these values."""
        wanted = [(self.dimensions.index(name), value) for name, value in where]
        return [place for place, key in enumerate(self.keys) if all(key[n] == value for n, value in wanted)]


def whole(tables: Sequence[Table], signal: Signal) -> Reading:
    """What the signal reads over everything, from the table that knows it."""
    return next((table.reading(signal) for table in tables if table.knows(signal)), NOTHING)
