"""How far a sum (requests, refusals, USD of an hour) is from what was expected, as chance moves sums.

A sum of independent lumps varies by as much as it is large: variance = lump × mean, the lump being 1 for a count of
independent events, more where they come in groups, and for money about what one call costs. The lump is learnt from
the series, so nobody has to say how its traffic arrives.
"""

import math
from dataclasses import dataclass


@dataclass
class Scatter:
    """The lump of one series: squared errors by values, both weighted exponentially over two weeks of hours."""

    square: float = 0.0
    mean: float = 0.0
    seen: int = 0

    MEMORY = 336

    def learn(self, value: float, error: float) -> None:
        """`error`: the value less what was expected of it."""
        self.seen += 1
        weight = 1 / min(self.seen, self.MEMORY)
        self.square += weight * (error * error - self.square)
        self.mean += weight * (abs(value) - self.mean)

    def lump(self, least: float) -> float:
        """In the unit of the series; `least` is 1 for counts, which never vary less than chance."""
        return max(least, self.square / self.mean if self.mean else 0.0)

    def sigmas(self, value: float, middle: float, least: float = 0.0) -> float:
        """Standard deviations between a sum and its expected value: the root of the Poisson deviance by the lump.

        Right for small sums too, where the difference by the root of the mean is not (McCullagh and Nelder,
        Generalized Linear Models, 1989, section 2.3 and chapter 9). Infinite where nothing ever varied.
        """
        lump = self.lump(least)
        mean = self._mean(middle, lump)
        if not lump or not mean:
            return math.inf
        growth = value * math.log(value / mean) if value > 0 else 0.0
        return math.sqrt(max(0.0, 2 * (growth - value + mean) / lump))

    def _mean(self, middle: float, lump: float) -> float:
        """A median below one lump says little of rare events: they are expected as often as they were of late."""
        seldom = max(self.mean, lump / self.MEMORY)
        return max(middle, min(seldom, lump))
