"""How likely so many failures are by chance: what keeps a rate of few events from waking anybody."""

from math import comb, sqrt
from statistics import NormalDist

# A share is surely too high when a service that is well would show it in less than one window of a thousand.
ALPHA = 0.001
# From so many expected events on, the normal distribution is near enough.
MANY = 60


def surely_above(share: float, events: int, well: float) -> bool:
    """Whether `share` of `events` is no chance in a service whose true share is `well` (binomial test, one-sided)."""
    return at_least(round(share * events), events, well) < ALPHA


def at_least(hits: int, events: int, chance: float) -> float:
    """Probability of so many hits or more among `events` of equal `chance` each."""
    if hits <= 0:
        return 1.0
    expected = events * chance
    if expected > MANY:
        spread = sqrt(expected * (1 - chance))
        return 1 - NormalDist(expected, spread).cdf(hits - 0.5)
    fewer = sum(comb(events, n) * chance**n * (1 - chance) ** (events - n) for n in range(min(hits, events + 1)))
    return max(0.0, 1 - fewer)
