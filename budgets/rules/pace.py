"""How fast a budget goes, from what is used and how much of its period is over."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

# Before this share of the period is over, a pace says more about chance than about the month.
TOO_EARLY = Decimal("0.05")
ON_PACE = Decimal("1.03")


@dataclass(frozen=True)
class Pace:
    """`tone`: ok, warn, bad, neutral. `exhausted_at`: when an even pace reaches the limit, where within the period."""

    word: str
    tone: str
    exhausted_at: datetime | None = None


def pace_of(*, used: Decimal, limit: Decimal, start: datetime, end: datetime, now: datetime) -> Pace:
    """The pace in words: "over", "4 days early", "on pace", "below pace", "too early to say"."""
    elapsed = Decimal((now - start) / (end - start))
    if used >= limit:
        return Pace("used up", "bad")
    if not used:
        return Pace("nothing used", "neutral")
    if elapsed < TOO_EARLY:
        return Pace("too early to say", "neutral")
    projected = used / elapsed
    if projected > limit * ON_PACE:
        exhausted = start + (end - start) * float(elapsed * limit / used)
        return Pace(f"{early(end - exhausted)} early", "bad" if used * 100 >= limit * 85 else "warn", exhausted)
    return Pace("on pace" if projected >= limit * Decimal("0.9") else "below pace", "ok")


def early(span) -> str:
    """A span in its largest whole unit: 4 days, 3 h, 20 min."""
    hours = span.total_seconds() / 3600
    if hours >= 36:
        return f"{round(hours / 24)} days"
    return f"{round(hours)} h" if hours >= 1.5 else f"{max(1, round(hours * 60))} min"
