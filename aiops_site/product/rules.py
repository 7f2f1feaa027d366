"""How much a share of few answers can say: intervals, and whether two shares differ beyond chance. Pure."""

from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

# A figure of the metric query.
Value = Any
CONFIDENCE = 0.95
FEWEST = 30  # a share of fewer answers is shown, but nothing is concluded from it


class Interval(NamedTuple):
    """Both ends of an interval, as ratios or differences of ratios."""

    low: float
    high: float


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """The z of a two-sided interval: 1.96 for 95 %."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


Z = normal_quantile()


def wilson(share: Value, count: int, z: float = Z) -> Interval | None:
    """Score interval of a share (0 to 1) of `count` answers; None of nothing.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    Unlike the normal interval it stays inside 0 to 1 and is honest for small counts and for shares of 0 and 1.
    """
    if share is None or not count:
        return None
    p = min(max(float(share), 0.0), 1.0)
    centre = p + z * z / (2 * count)
    spread = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    # Rounding must not push an end past the share itself, e.g. past exactly 0 or 1.
    return Interval(min(max((centre - spread) / whole, 0.0), p), max(min((centre + spread) / whole, 1.0), p))


def difference(before: Value, n_before: int, after: Value, n_after: int) -> Interval | None:
    """Interval of `after - before` for two independent shares; None where either is unknown.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17 (1998), 873-890, method 10: the Wilson intervals of both, put together.
    """
    first, second = wilson(before, n_before), wilson(after, n_after)
    if first is None or second is None:
        return None
    p1, p2 = float(before or 0), float(after or 0)
    low = p2 - p1 - sqrt((p2 - second.low) ** 2 + (first.high - p1) ** 2)
    high = p2 - p1 + sqrt((second.high - p2) ** 2 + (p1 - first.low) ** 2)
    return Interval(low, high)


def verdict(interval: Interval | None, better: str, fewest: int) -> str:
    """What the difference says: better, worse, changed (no good or bad side), within chance, or too few answers.

    `fewest`: the smaller of both samples. "" without an interval.
    """
    if interval is None:
        return ""
    if fewest < FEWEST:
        return "too few"
    if interval.low <= 0 <= interval.high:
        return "within chance"
    if better not in ("up", "down"):
        return "changed"
    return "better" if (interval.low > 0) == (better == "up") else "worse"
