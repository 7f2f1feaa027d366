"""How new a value is to a series: three distances to what it did before, and the sketch that says which are large.

Distances rather than models, because a series that was never seen before has no model yet: a level shift, a new rhythm
or a gap is new once and known from then on, without a word of configuration.
"""

import math

import numpy as np

Values = np.ndarray  # one dimension, float32, oldest first; NaN where a value is unknown

# A distance further than this many typical large ones is "many": there were only zeros to compare with.
MANY = 99.0


def nearest_value(history: Values, value: float) -> float | None:
    """Distance to the nearest value seen, in the series' unit; None without one."""
    return _least(np.abs(history - np.float32(value)))


def nearest_shape(history: Values, value: float, length: int) -> float | None:
    """Mean distance of the last `length` values to the nearest such run that ended before them."""
    size = len(history) + 1
    if size < 2 * length:
        return None
    recent = np.append(history[size - length :], np.float32(value))
    ends = size - 2 * length + 1  # runs compared: the first `length` values, and so on up to those just before `recent`
    total = np.zeros(ends, dtype=np.float32)
    for back in range(length):
        first = length - 1 - back
        total += np.abs(history[first : first + ends] - recent[-1 - back])
    found = _least(total)
    return None if found is None else found / length


def nearest_in_phase(history: Values, value: float, day: int, days: int) -> float | None:
    """Distance to the nearest value at that time of one of the last `days` days; None in the first eight days."""
    if day < 2 or len(history) < 8 * day:
        return None
    return nearest_value(history[-day::-day][:days], value)


def _least(distances: Values) -> float | None:
    known = distances[~np.isnan(distances)]
    return float(known.min()) if len(known) else None


class Sketch:
    """Counts of positive numbers in logarithmic buckets of 5 %: quantiles of an unbounded stream in bounded memory.

    When `limit` numbers are counted, every count is halved, so the sketch follows the last one or two `limit`s.
    """

    WIDTH, HALF = 0.05, 600  # from 1e-13 to 1e13; what lies outside counts with the ends

    def __init__(self, limit: int, counts: dict[int, float] | None = None, seen: int = 0) -> None:
        self.limit, self.seen = limit, seen
        self._counts = np.zeros(2 * self.HALF)
        for bucket, count in (counts or {}).items():
            self._counts[int(bucket)] = count

    def add(self, number: float) -> None:
        self._counts[self._bucket(number)] += 1
        self.seen += 1
        if self._counts.sum() >= self.limit:
            self._counts *= 0.5

    def quantile(self, share: float) -> float:
        """The number that this share of what was counted does not exceed; 0 for an empty sketch."""
        upto = self._counts.cumsum()
        bucket = int(np.searchsorted(upto, share * upto[-1]))
        return 0.0 if bucket == 0 else math.exp((bucket - self.HALF) * self.WIDTH)

    def ratio(self, number: float, share: float) -> float:
        """The number relative to that quantile; MANY where the quantile is 0 and the number is not."""
        usual = self.quantile(share)
        return number / usual if usual else (MANY if number else 0.0)

    def state(self) -> dict:
        """What `Sketch.restored` needs, as JSON."""
        counted = np.flatnonzero(self._counts)
        return {"seen": self.seen, "counts": {str(bucket): float(self._counts[bucket]) for bucket in counted}}

    @classmethod
    def restored(cls, limit: int, state: dict) -> "Sketch":
        return cls(limit, {int(bucket): count for bucket, count in state["counts"].items()}, state["seen"])

    def _bucket(self, number: float) -> int:
        if number <= 0:
            return 0
        return min(2 * self.HALF - 1, max(1, round(math.log(number) / self.WIDTH) + self.HALF))
