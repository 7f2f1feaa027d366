"""Slices of a cube as figures: what a part was, is and adds to the change, and by which cause. Sums are exact.

Money is in integers of 1e-18 USD inside the cube and Decimal outside. Ratios are computed as fractions and rounded to
twelve digits; the rest is always what is left of the change, so parts sum to the whole to the last digit.

A percentile has no exact share per slice. The part of a slice is the counterfactual: the percentile now, less the
percentile there would be had this slice kept its old distribution at its new volume. Slices act together, so such parts
leave an explicit remainder.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from typing import Protocol

import numpy as np

from usage.histogram import BOUNDS, bucket_of, middle
from usage.rules.effects import PRECISION, Usage, split
from usage.rules.explain import Cell, Clause, Cube, Key, added

COST_DIGITS = 18
RATIO_DIGITS = 12
MOSTLY = 0.1  # share of a slice's change that a value must carry to be one of those it is mostly made of
Where = tuple[tuple[str, str], ...]


class Metric(Protocol):
    """What a slice must know of its metric."""

    @property
    def kind(self) -> str: ...
    @property
    def is_money(self) -> bool: ...
    @property
    def effects(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Part:
    """A slice in figures.

    before, now: its metric, None where unknown or a ratio of nothing. contribution: its part of the change of the
    whole; effects: cause → amount, which sum to it. share: of the change; weight: of the base (0 to 1). factors:
    quotients now by before (calls, tokens …). events: in both windows. count: values put together in a rest.
    """

    where: Where
    before: Decimal | None
    now: Decimal | None
    contribution: Decimal
    share: float | None
    weight: float
    events0: int
    events1: int
    effects: dict[str, Decimal] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    unknown: tuple[int, int] = (0, 0)
    count: int = 0


@dataclass(frozen=True)
class Counts:
    """Histograms of both windows by combination, as arrays of counts by bucket, for one quantile."""

    quantile: float
    keys: list[Key]
    before: np.ndarray  # combinations × buckets
    now: np.ndarray

    @classmethod
    def of(cls, quantile: float, before: dict[Key, np.ndarray], now: dict[Key, np.ndarray]) -> "Counts":
        """From values per bucket by combination."""
        keys = list(before | now)
        return cls(quantile, keys, *(_table(keys, side) for side in (before, now)))

    @property
    def cells(self) -> list[Cell]:
        """Of each combination, how many were slower than the old quantile, and all."""
        bar = bucket_of(self.before.sum(axis=0), self.quantile) or 0
        return [
            Cell(key, slower[0], slower[1], sizes[0], sizes[1], events0=sizes[0], events1=sizes[1])
            for key, slower, sizes in zip(self.keys, *self._slower_and_all(bar), strict=True)
        ]

    def _slower_and_all(self, bar: int) -> tuple[list[list[int]], list[list[int]]]:
        """By combination: [before, now] of those beyond a bucket, and of all."""
        slower, everything = (
            np.stack([side[:, start:].sum(axis=1) for side in (self.before, self.now)], axis=1).astype(int).tolist()
            for start in (bar + 1, 0)
        )
        return slower, everything

    def values(self, places: Sequence[int]) -> tuple[Decimal | None, Decimal | None]:
        """The quantile of a slice before and now, in ms."""
        before, now = (self._value(side[list(places)].sum(axis=0)) for side in (self.before, self.now))
        return before, now

    def without(self, places: Sequence[int]) -> Decimal | None:
        """The quantile now, had these combinations kept their old distribution at their new volume."""
        chosen = list(places)
        mine, old = self.now[chosen].sum(axis=0), self.before[chosen].sum(axis=0)
        others = self.now.sum(axis=0) - mine
        if not (old.any() and mine.any()):
            return self._value(others + old)
        # Both sides times the old volume: whole numbers, so that no rank falls between two by rounding.
        return self._value(others * old.sum() + old * mine.sum())

    def _value(self, histogram: np.ndarray) -> Decimal | None:
        bucket = bucket_of(histogram, self.quantile)
        return None if bucket is None else Decimal(str(round(middle(bucket), 3)))


def _table(keys: list[Key], found: dict[Key, np.ndarray]) -> np.ndarray:
    nothing = np.zeros(len(BOUNDS))
    return np.stack([found.get(key, nothing) for key in keys]) if keys else np.zeros((0, len(BOUNDS)))


@dataclass(frozen=True)
class Slices:
    """A cube with its metric; `counts` for a percentile."""

    metric: Metric
    cube: Cube
    counts: Counts | None = None

    @cached_property
    def whole(self) -> Part:
        return self.part((), range(len(self.cube.cells)))

    @property
    def change(self) -> Decimal | None:
        """How much the metric moved; None where either side is unknown."""
        return None if self.whole.before is None or self.whole.now is None else self.whole.contribution

    def split(self, clauses: Sequence[Clause]) -> tuple[list[Part], Part]:
        """The clauses' parts and the rest of the whole."""
        taken = {place for clause in clauses for place in clause.cells}
        others = [place for place in range(len(self.cube.cells)) if place not in taken]
        parts = [self.part(clause.where, clause.cells) for clause in clauses]
        return parts, self._closing(parts, self.part((), others))

    def values(self, dimension: str, groups: dict[str, list[int]], limit: int) -> tuple[list[Part], Part]:
        """The values of a dimension, largest contribution first, and all others together."""
        ranked = sorted(groups, key=lambda value: (-abs(self.cube.sums(groups[value]).pull), value))
        parts = [self.part(((dimension, value),), groups[value]) for value in ranked[:limit]]
        others = [place for value in ranked[limit:] for place in groups[value]]
        rest = self._closing(parts, self.part((), others))
        return parts, replace(rest, count=len(ranked[limit:]))

    def remainder(self, parts: Iterable[Part]) -> Decimal:
        """What parts that make up the whole leave of its change."""
        with localcontext(prec=PRECISION):
            return self.whole.contribution - sum((part.contribution for part in parts), Decimal(0))

    def _closing(self, parts: list[Part], rest: Part) -> Part:
        """The rest as what is left of the change: rounding goes here. A percentile leaves a remainder instead."""
        if self.counts:
            return rest
        with localcontext(prec=PRECISION):
            left = self.whole.contribution - sum((part.contribution for part in parts), Decimal(0))
            if "mix" in rest.effects:
                rest = replace(rest, effects=rest.effects | {"mix": left - rest.effects["within"]})
        return replace(rest, contribution=left)

    def part(self, where: Where, places: Iterable[int]) -> Part:
        places = list(places)
        cell = added(self.cube.cells[place] for place in places)
        before, now = self.counts.values(places) if self.counts else self._figures(cell)
        contribution = self._contribution(places, cell)
        share = self.cube.share(places) if self.cube.explicable else None
        return Part(
            where,
            before,
            now,
            contribution,
            share.change if share else None,
            share.base if share else 0.0,
            cell.events0,
            cell.events1,
            self._effects(places, cell, contribution),
            self._factors(cell),
            (cell.unknown0, cell.unknown1),
        )

    def mostly(self, dimension: str, places: Sequence[int]) -> set[str]:
        """The values that carry a share of the slice's change worth naming."""
        pulls = {value: self.cube.sums(cells).pull for value, cells in self.cube.by(dimension, places).items()}
        whole = sum(pulls.values())
        return {value for value, pull in pulls.items() if value and whole and pull / whole >= MOSTLY}

    # --- Figures --------------------------------------------------------------------------------------------------
    def _figures(self, cell: Cell) -> tuple[Decimal | None, Decimal | None]:
        before = self._figure(cell.value0, cell.base0, cell.unknown0)
        return before, self._figure(cell.value1, cell.base1, cell.unknown1)

    def _figure(self, value: int, base: int, unknown: int) -> Decimal | None:
        if unknown and not value:
            return None
        if self.metric.kind == "sum":
            return self._amount(value)
        return _rounded(Fraction(value, base * self._units)) if base else None

    @property
    def _units(self) -> int:
        return 10**COST_DIGITS if self.metric.is_money else 1

    def _amount(self, value: int) -> Decimal:
        with localcontext(prec=PRECISION):
            return Decimal(value).scaleb(-COST_DIGITS) if self.metric.is_money else Decimal(value)

    def _contribution(self, places: list[int], cell: Cell) -> Decimal:
        if self.counts:
            return self._counterfactual(places)
        if self.metric.kind == "sum":
            return self._amount(cell.value1 - cell.value0)
        if not self.cube.scale:
            return Decimal(0)
        return _rounded(self.cube.contribution(places) / self._units)

    def _counterfactual(self, places: list[int]) -> Decimal:
        everything = range(len(self.cube.cells))
        now = self.counts.values(everything)[1] if self.counts else None
        old = self.counts.without(places) if self.counts and places else now
        return now - old if now is not None and old is not None else Decimal(0)

    def _effects(self, places: list[int], cell: Cell, contribution: Decimal) -> dict[str, Decimal]:
        names = self.metric.effects
        if "within" in names:
            within = _rounded(self.cube.within(places) / self._units) if self.cube.scale else Decimal(0)
            with localcontext(prec=PRECISION):
                return {"within": within, "mix": contribution - within}
        if not names:
            return {}
        tokens = (cell.tokens0, cell.tokens1) if "tokens" in names else (0, 0)
        found = split(
            Usage(self._amount(cell.value0), cell.base0, tokens[0]),
            Usage(self._amount(cell.value1), cell.base1, tokens[1]),
        )
        if "tokens" in names:
            return {"volume": found.volume, "tokens": found.tokens, "price": found.price}
        return {"volume": found.volume, "rate": found.price}

    def _factors(self, cell: Cell) -> dict[str, float]:
        """How many times the base and, by base, tokens or value: 2.1 is ×2.1."""
        found = {}
        if cell.base0 and cell.base1:
            found["base"] = cell.base1 / cell.base0
            if cell.value0:
                found["value"] = cell.value1 / cell.value0 / found["base"]
            if cell.tokens0:
                found["tokens"] = cell.tokens1 / cell.tokens0 / found["base"]
        return found


def _rounded(value: Fraction) -> Decimal:
    """A fraction rounded half-even to twelve digits."""
    with localcontext(prec=PRECISION):
        return Decimal(round(value * 10**RATIO_DIGITS)).scaleb(-RATIO_DIGITS)
