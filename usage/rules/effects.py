"""Why spend changed between two periods: more calls, more tokens a call, or a dearer token.

A group's spend is a product of three factors:

    spend = calls × (tokens / calls) × (spend / tokens)  =  n · t · p

The change from (n0, t0, p0) to (n1, t1, p1) is shared out by the Shapley value: each factor's contribution is the mean
of what it adds over all six orders of changing one factor after the other (L. S. Shapley 1953; for index numbers the
"Shapley/Sun" decomposition, J. W. Sun, Energy Economics 20, 1998). For the first factor that is

    Δn · (t0·p0 + t1·p1) / 3  +  Δn · (t0·p1 + t1·p0) / 6

and likewise for the others. There is no remainder and no order to choose; swapping the periods flips every sign.

Exactness: the shares are computed as fractions. Volume and tokens are rounded half-even to the pico-dollar (what an
event's cost is stored in), and **price is what is left**, so the three add up to the change to the last digit. Rounding
half-even and the remainder are odd functions, so the swap stays exact.

"Price" is the mean price of a token of the group. It moves with the rates, and with the mix inside the group: another
model, more cached input, a larger share of output. Break the group down further to tell these apart.

Cases in which a factor does not exist:
- a group without calls in one period is new or gone: all of it is volume;
- without tokens in one period (calls billed by the piece), tokens have no share: spend = calls × price per call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

# Digits enough for sums far beyond any bill: 10^48 USD in pico-dollars.
PRECISION = 60


@dataclass(frozen=True)
class Usage:
    """What a group did in one period: USD of the calls with a known cost, model calls, input and output tokens."""

    cost: Decimal = Decimal(0)
    calls: int = 0
    tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        with localcontext(prec=PRECISION):
            return Usage(self.cost + other.cost, self.calls + other.calls, self.tokens + other.tokens)


@dataclass(frozen=True)
class Effects:
    """USD of change by cause; the three add up to the change exactly."""

    volume: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)
    price: Decimal = Decimal(0)

    @property
    def change(self) -> Decimal:
        with localcontext(prec=PRECISION):
            return self.volume + self.tokens + self.price

    @property
    def largest(self) -> str:
        """The name of the effect that moved most: volume, tokens or price; '' where nothing moved."""
        name = max(("volume", "tokens", "price"), key=lambda effect: abs(getattr(self, effect)))
        return name if getattr(self, name) else ""

    def __add__(self, other: "Effects") -> "Effects":
        with localcontext(prec=PRECISION):
            return Effects(self.volume + other.volume, self.tokens + other.tokens, self.price + other.price)


def split(before: Usage, after: Usage) -> Effects:
    """The change of one group's spend by cause (see the module's text)."""
    with localcontext(prec=PRECISION):
        change = after.cost - before.cost
        if not (before.calls and after.calls):
            return Effects(volume=change)
        if not (before.tokens and after.tokens):
            volume = _pico(_two_factors(before, after))
            return Effects(volume=volume, price=change - volume)
        volume, tokens = map(_pico, _three_factors(before, after))
        return Effects(volume, tokens, change - volume - tokens)


def total(effects: Iterable[Effects]) -> Effects:
    """The effects of many groups together: the sum of theirs."""
    return sum(effects, Effects())


def _two_factors(before: Usage, after: Usage) -> Fraction:
    """The share of the number of calls where spend = calls × price per call."""
    prices = Fraction(before.cost) / before.calls + Fraction(after.cost) / after.calls
    return (after.calls - before.calls) * prices / 2


def _three_factors(before: Usage, after: Usage) -> tuple[Fraction, Fraction]:
    """The shares of calls and of tokens per call."""
    n0, t0, p0 = _factors(before)
    n1, t1, p1 = _factors(after)
    volume = (n1 - n0) * _mean(t0, t1, p0, p1)
    tokens = (t1 - t0) * _mean(n0, n1, p0, p1)
    return volume, tokens


def _factors(usage: Usage) -> tuple[Fraction, Fraction, Fraction]:
    return Fraction(usage.calls), Fraction(usage.tokens, usage.calls), Fraction(usage.cost) / usage.tokens


def _mean(a0: Fraction, a1: Fraction, b0: Fraction, b1: Fraction) -> Fraction:
    """The mean of the product of the two other factors over the six orders."""
    return (a0 * b0 + a1 * b1) / 3 + (a0 * b1 + a1 * b0) / 6


def _pico(value: Fraction) -> Decimal:
    """A fraction of a dollar rounded half-even to the pico-dollar."""
    return Decimal(round(value * 10**12)).scaleb(-12)
