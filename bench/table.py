"""The rows of the table and small statistics over the rounds."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MET, MISSED = "met", "**missed**"


@dataclass(frozen=True)
class Row:
    """One measured line. `notes` are sentences about this run; `key` finds the hand-written ones in notes.md."""

    key: str
    what: str
    reference: str
    ours: str
    ratio: str
    goal: str
    verdict: str
    notes: list[str] = field(default_factory=list)


@dataclass
class Rounds:
    """Figures of the same measurement, one a round."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        self.values.append(value)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def spread(self, show: Callable[[float], str]) -> str:
        """The median with its lowest and highest round."""
        return f"{show(self.median)} ({show(min(self.values))} … {show(max(self.values))})"


def verdict(*passed: bool) -> str:
    return MET if all(passed) else MISSED


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; nan of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def slope(points: list[tuple[float, float]]) -> float:
    """Least-squares rise per unit of the first coordinate; nan for fewer than two points."""
    if len(points) < 2:
        return math.nan
    xs, ys = zip(*points, strict=True)
    return statistics.linear_regression(xs, ys).slope


def rate(value: float) -> str:
    """Events a second, three digits."""
    return f"{float(f'{value:.3g}'):,.0f}/s"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def shares(cpu: dict[str, float], seconds: float) -> str:
    """How many cores each part kept busy."""
    return ", ".join(f"{name} {used / seconds:.2f}" for name, used in cpu.items())
