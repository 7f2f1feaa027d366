"""How traffic breathes: by hour of day (UTC), by day of week, and a slow growth over the month. Pure arithmetic."""

import math
from datetime import datetime
from random import Random

# Hour-of-day weights, 24 each; scaled below so that their mean over a working day is 1.
_HOURS = {
    "office": (2, 1, 1, 1, 2, 5, 12, 30, 62, 88, 96, 92, 74, 84, 95, 90, 76, 52, 30, 18, 12, 8, 5, 3),
    "developer": (9, 6, 4, 3, 4, 8, 18, 40, 70, 90, 98, 94, 70, 86, 98, 96, 88, 70, 50, 38, 32, 28, 22, 14),
    "consumer": (22, 14, 10, 8, 9, 14, 28, 44, 56, 62, 66, 72, 78, 72, 68, 68, 72, 80, 92, 100, 98, 84, 60, 38),
    "nightly": (40, 90, 100, 60, 8, 4, 4, 6, 10, 12, 12, 12, 10, 12, 12, 12, 10, 8, 6, 5, 5, 6, 8, 14),
}
# Monday to Sunday.
_DAYS = {
    "office": (1.08, 1.12, 1.1, 1.06, 0.92, 0.24, 0.18),
    "developer": (1.0, 1.1, 1.12, 1.08, 0.94, 0.32, 0.3),
    "consumer": (1.0, 0.98, 0.98, 1.0, 1.04, 0.78, 0.74),
    "nightly": (1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.7),
}
_MEAN = {name: sum(hours) / 24 * sum(_DAYS[name]) / 7 for name, hours in _HOURS.items()}
_GROWTH_PER_DAY = 0.006


def level(rhythm: str, at: datetime, window_end: datetime) -> float:
    """Traffic at that hour relative to the rhythm's mean over a week (about 1); it grows 0.6 % a day to the window's end."""
    shape = _HOURS[rhythm][at.hour] * _DAYS[rhythm][at.weekday()] / _MEAN[rhythm]
    days_left = (window_end - at).total_seconds() / 86_400
    return shape * max(0.5, 1.09 - _GROWTH_PER_DAY * days_left)


def poisson(rng: Random, mean: float) -> int:
    """A Poisson draw: Knuth's product below 30, the rounded normal above (its error is far under the noise)."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
