"""What a budget would have done with traffic that was: when each of its thresholds was reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.rules.thresholds import Step, reached


@dataclass(frozen=True)
class Crossing:
    """`step` was reached in the hour (or day) from `at` on; None: not at all."""

    step: Step
    at: datetime | None


def crossings(
    points: Iterable[tuple[datetime, Decimal | None]],
    limit: Decimal,
    steps: Sequence[Step],
    start: datetime,
    end: datetime,
) -> list[Crossing]:
    """Each step with the point in which the running sum first reached it. Unknown points add nothing."""
    total = Decimal(0)
    found: dict[Step, datetime | None] = dict.fromkeys(steps)
    for at, amount in points:
        total += amount or 0
        elapsed = (at - start) / (end - start)
        for step in steps:
            if found[step] is None and reached(step, total / limit, elapsed):
                found[step] = at
    return [Crossing(step, at) for step, at in found.items()]
