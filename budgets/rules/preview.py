"""What a budget would have done with traffic that was: when each of its thresholds was reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class Crossing:
    """`action` at `percent` was reached in the hour from `at` on; None: not at all."""

    percent: Decimal
    action: str
    at: datetime | None


def crossings(
    points: Iterable[tuple[datetime, Decimal | None]], limit: Decimal, thresholds: Sequence[tuple[Decimal, str]]
) -> list[Crossing]:
    """Each threshold with the point in which the running sum first reached it. Unknown points add nothing."""
    total, reached = Decimal(0), dict.fromkeys(thresholds)
    for at, amount in points:
        total += amount or 0
        for threshold in thresholds:
            if reached[threshold] is None and total * 100 >= threshold[0] * limit:
                reached[threshold] = at
    return [Crossing(percent, action, reached[(percent, action)]) for percent, action in thresholds]


def enforced(thresholds: Sequence[tuple[Decimal, str]], enforcement: str) -> list[tuple[Decimal, str]]:
    """The thresholds, with the deny at 100 % that a hard limit is."""
    hard = [(Decimal(100), "deny")] if enforcement == "hard" else []
    return sorted([*thresholds, *hard])
