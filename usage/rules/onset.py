"""When a change began, and which recorded changes are suspect.

The onset is the change point of a single step in the mean, by least squares: the split of the series that leaves the
smallest sum of squared residuals (for one change, the exact solution of optimal partitioning; see Killick, Fearnhead
and Eckley, Journal of the American Statistical Association 107, 2012). Points are weighed, so that the ratio of a
thin step counts for little. It is None where a step explains too little of the scatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

LEAST_POINTS = 6
LEAST_FIT = 0.25  # share of the squared scatter that the step must take away


class Point(NamedTuple):
    """A step of the series: when it starts, its value, and how much it rests on."""

    at: datetime
    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Onset:
    """When the level changed (start of a step), from which to which, and the share of the scatter it explains."""

    at: datetime
    before: float
    after: float
    fit: float


def onset(points: Sequence[Point], direction: int) -> Onset | None:
    """The step in the mean towards `direction` (1 up, −1 down) that fits best; None where none fits well."""
    points = [point for point in points if point.weight > 0]
    if len(points) < LEAST_POINTS:
        return None
    weight = sum(point.weight for point in points)
    mean = sum(point.weight * point.value for point in points) / weight
    scatter = sum(point.weight * (point.value - mean) ** 2 for point in points)
    steps = [step for step in _splits(points, weight, mean) if (step[2] - step[1]) * direction > 0]
    taken, low, high, place = max(steps, default=(0.0, 0.0, 0.0, 0))
    if not scatter or taken / scatter < LEAST_FIT:
        return None
    return Onset(points[place].at, low, high, taken / scatter)


def _splits(points: Sequence[Point], weight: float, mean: float):
    """(squared scatter taken away, mean before, mean after, first place after) of every split."""
    left = total = 0.0
    for place in range(1, len(points)):
        left += points[place - 1].weight
        total += points[place - 1].weight * points[place - 1].value
        right = weight - left
        low, high = total / left, (weight * mean - total) / right
        yield left * right / weight * (high - low) ** 2, low, high, place


# --- Suspects -------------------------------------------------------------------------------------------------------
NEAR = timedelta(minutes=30)  # closeness halves with every such stretch, or every three steps where that is longer
ASIDE = 0.25  # what is left of a change that names another feature
TOLD = 5


@dataclass(frozen=True)
class Change:
    """A recorded change: `names` are its values by dimension, `says` the words of its reference and title."""

    id: int
    at: datetime
    kind: str
    title: str
    names: dict[str, str]
    says: frozenset[str]
    url: str = ""


@dataclass(frozen=True)
class Suspect:
    """A change near the onset.

    lead: how long before the onset (negative: after). matches: dimensions in which it names the slice that changed;
    named: dimensions of which its reference or title says a new value.
    """

    change: Change
    lead: timedelta
    matches: tuple[str, ...]
    named: tuple[str, ...]
    score: float

    @property
    def strong(self) -> bool:
        """Whether it speaks of just this slice, not only of its team or environment."""
        return bool(self.named or {"feature", "service"}.intersection(self.matches))


def suspects(
    changes: Sequence[Change], at: datetime, step: timedelta, inside: dict[str, set[str]], new: dict[str, set[str]]
) -> list[Suspect]:
    """Changes up to one step after `at`, likeliest first.

    inside: dimension → the values of the slice that changed; new: dimension → values it did not have before.
    """
    half = max(NEAR, 3 * step)
    found = [_suspect(change, at, half, inside, new) for change in changes if change.at <= at + step]
    return sorted(found, key=lambda suspect: (-suspect.score, abs(suspect.lead), suspect.change.id))[:TOLD]


def _suspect(change: Change, at: datetime, half: timedelta, inside, new) -> Suspect:
    lead = at - change.at
    matches = tuple(name for name, value in change.names.items() if value in inside.get(name, ()))
    named = tuple(name for name, values in new.items() if not change.says.isdisjoint(values))
    against = any(inside.get(name) and value not in inside[name] for name, value in change.names.items())
    closeness = 2.0 ** -(abs(lead) / half)
    worth = (1 + len(matches) + 2 * len(named)) * (ASIDE if against else 1)
    return Suspect(change, lead, matches, named, closeness * worth)
