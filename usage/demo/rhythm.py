"""How traffic breathes: by hour of day, by day of week, and a slow growth over the month. Pure arithmetic."""

import math
from datetime import datetime, timedelta
from random import Random

# Hour-of-day weights at the demo company's home, then Monday to Sunday. Office hours never fall to nothing: its
# customers live in several zones.
_HOURS = {
    "office": (18, 15, 14, 14, 16, 20, 28, 42, 66, 88, 96, 92, 78, 84, 95, 90, 76, 58, 42, 34, 28, 25, 22, 20),
    "developer": (24, 20, 18, 17, 18, 22, 30, 46, 72, 90, 98, 94, 74, 86, 98, 96, 88, 72, 56, 46, 42, 38, 32, 28),
    "consumer": (26, 20, 16, 14, 15, 20, 32, 46, 58, 64, 68, 74, 78, 74, 72, 72, 76, 84, 94, 100, 98, 84, 62, 40),
    "nightly": (60, 95, 100, 70, 24, 20, 20, 22, 24, 26, 26, 26, 24, 26, 26, 26, 24, 22, 20, 20, 20, 22, 26, 34),
}
_DAYS = {
    "office": (1.08, 1.12, 1.1, 1.06, 0.92, 0.44, 0.4),
    "developer": (1.0, 1.1, 1.12, 1.08, 0.94, 0.46, 0.44),
    "consumer": (1.0, 0.98, 0.98, 1.0, 1.04, 0.78, 0.74),
    "nightly": (1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.7),
}
_MEANS = {name: sum(hours) / 24 * sum(_DAYS[name]) / 7 for name, hours in _HOURS.items()}
_GROWTH_PER_DAY = 0.006
# The window ends at this hour of the home zone, so that a desk started at any time of day opens on a busy hour.
_END_HOUR = 14


def home_shift(window_end: datetime) -> timedelta:
    """What to add to UTC to get the demo company's home time; between -11 and +12 hours."""
    hours = (_END_HOUR - window_end.hour) % 24
    return timedelta(hours=hours - 24 if hours > 12 else hours)


def level(rhythm: str, at: datetime, window_end: datetime) -> float:
    """Traffic of that hour relative to the rhythm's weekly mean; grows by 0.6 % a day. Both moments in UTC."""
    home = at + home_shift(window_end)
    shape = _HOURS[rhythm][home.hour] * _DAYS[rhythm][home.weekday()] / _MEANS[rhythm]
    days_left = (window_end - at).total_seconds() / 86_400
    return shape * max(0.5, 1.09 - _GROWTH_PER_DAY * days_left)


def poisson(rng: Random, mean: float) -> int:
    """A Poisson draw: Knuth's product up to 30, above it the rounded normal (its error is far under the noise)."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
