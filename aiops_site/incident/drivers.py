"""What carries a change between two windows: which values of which dimensions have more failures, tokens, cost or
traffic than the same window a week earlier would explain. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from aiops_site.incident.rules import MIN_REQUESTS, exceeds

Kind = Literal["failures", "empty", "latency", "tokens", "cost", "traffic"]
MIN_SHARE = 0.1  # a value that carries less of the change is left out
MATERIAL = {"tokens": 0.25, "cost": 0.25, "traffic": 0.5, "latency": 0.3}
MIN_SLOWER_MS = 200
MANY = 2.6  # a wider interval than a single rate needs: dozens of values are tried at once
# Tokens and cost of calls vary about as much as their mean, so two means differ by chance by this much per 1/sqrt(n).
SPREAD = 2.4
P95_SPREAD = 5.0  # the same for a p95, which rests on a twentieth of the calls


@dataclass(frozen=True)
class Pair:
    """A measured amount (failures, tokens, USD) of so many requests or calls."""

    amount: float
    count: int

    @property
    def ratio(self) -> float | None:
        return self.amount / self.count if self.count else None

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.amount + other.amount, self.count + other.count)


NOTHING = Pair(0.0, 0)
Name = tuple[str, ...]  # the values of the columns that name something: ("answers", "1.43.0")
Values = Mapping[Name, Pair]


@dataclass(frozen=True)
class Driver:
    """One value that carries part of a change.

    now, before: the figure in both windows (before None: this value is new); excess: amount beyond what the week
    before explains; share: of all such excess in this dimension; weight: share of the traffic.
    """

    kind: Kind
    dimension: str
    value: Name
    now: float
    before: float | None
    excess: float
    share: float | None
    weight: float

    @property
    def risen(self) -> bool:
        return self.before is None or self.now > self.before


def of_ratio(kind: Kind, dimension: str, now: Values, before: Values) -> list[Driver]:
    """Values whose amount per request or call changed, most telling first."""
    total, earlier = sum(now.values(), NOTHING), sum(before.values(), NOTHING)
    if earlier.ratio is None or not total.count:
        return []
    known = {value: before.get(value, NOTHING) for value in now}
    usual = {v: _usual(pair, earlier.ratio) for v, pair in known.items()}
    excess = {value: pair.amount - usual[value] * pair.count for value, pair in now.items()}
    scale = sum(abs(amount) for amount in excess.values())
    found = [
        Driver(
            kind, dimension, value, pair.ratio or 0.0, known[value].ratio, excess[value],
            excess[value] / scale, pair.count / total.count,
        )
        for value, pair in now.items()
        if pair.count and scale and _matters(kind, pair, known[value], usual[value], earlier.ratio)
    ]  # fmt: skip
    return ranked(d for d in found if abs(d.share or 0.0) >= MIN_SHARE)


def _usual(before: Pair, overall: float) -> float:
    """What is usual for a value: its own ratio a week earlier, that of all where it had too little traffic."""
    return overall if before.ratio is None or before.count < MIN_REQUESTS else before.ratio


def _matters(kind: Kind, pair: Pair, before: Pair, usual: float, overall: float) -> bool:
    if kind in ("failures", "empty"):
        # A value that happened to have no failure a week earlier is held against all of that week's traffic.
        return exceeds(pair.amount, pair.count, max(usual, overall), MANY)
    if min(pair.count, before.count) < MIN_REQUESTS or not usual:
        return False
    chance = SPREAD * sqrt(1 / pair.count + 1 / before.count)
    return abs((pair.ratio or 0.0) / usual - 1) >= max(MATERIAL[kind], chance)


def of_traffic(dimension: str, now: Values, before: Values) -> list[Driver]:
    """Values that bring much more or much less traffic than a week earlier, beyond chance."""
    counts = {value: (now.get(value, NOTHING).count, before.get(value, NOTHING).count) for value in {*now, *before}}
    change = sum(abs(new - old) for new, old in counts.values())
    total = sum(new for new, _ in counts.values()) or 1
    found = [
        Driver("traffic", dimension, value, new, old or None, new - old, (new - old) / change, new / total)
        for value, (new, old) in counts.items()
        if _much_more(new, old)
    ]
    return ranked(d for d in found if abs(d.share or 0.0) >= MIN_SHARE)


def _much_more(new: int, old: int) -> bool:
    beyond_chance = abs(new - old) > 3 * sqrt(new + old)
    return beyond_chance and new + old >= MIN_REQUESTS and (not old or abs(new / old - 1) >= MATERIAL["traffic"])


def of_latency(
    dimension: str, now: Mapping[Name, tuple[float | None, int]], before: Mapping[Name, tuple[float | None, int]]
) -> list[Driver]:
    """Values whose p95 rose or fell; (p95 in ms, count) by value. Percentiles do not add up, so there is no share."""
    total = sum(count for _, count in now.values()) or 1
    found = []
    for value, (p95, count) in now.items():
        usual, seen = before.get(value, (None, 0))
        if p95 is None or not usual or min(count, seen) < MIN_REQUESTS:
            continue
        chance = P95_SPREAD / sqrt(min(count, seen))
        if abs(p95 - usual) >= MIN_SLOWER_MS and abs(p95 / usual - 1) >= max(MATERIAL["latency"], chance):
            found.append(Driver("latency", dimension, value, p95, usual, (p95 - usual) * count, None, count / total))
    return sorted(found, key=lambda d: abs(d.excess), reverse=True)


def ranked(drivers: Iterable[Driver]) -> list[Driver]:
    """Those that stand out most first; of equals, the larger."""
    return sorted(drivers, key=lambda d: (round(abs(d.share or 0.0) - d.weight, 2), abs(d.excess)), reverse=True)
