"""What a call costs: integer arithmetic on rates of 10^-18 USD per token, so that money never meets a float.

Cached input and cache writes are parts of the input, reasoning is part of the output; each token is charged once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from usage.measures import COST_PRICED, COST_UNMETERED, COST_UNPRICED

ATTO_PER_MTOK_USD = 10**12  # 1 USD per million tokens = 10^-6 USD per token = 10^12 · 10^-18
ATTO_PER_USD = 10**18
COST_DECIMALS = 12
_ATTO_PER_UNIT = 10 ** (18 - COST_DECIMALS)
_UNITS_PER_USD = 10**COST_DECIMALS


def per_token(usd_per_mtok: Decimal) -> int:
    """USD per million tokens as 10^-18 USD per token, rounded half-even at 10^-12 USD per million."""
    return int((usd_per_mtok * ATTO_PER_MTOK_USD).to_integral_value(ROUND_HALF_EVEN))


def per_call(usd: Decimal) -> int:
    """USD per call as 10^-18 USD."""
    return int((usd * ATTO_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def per_mtok(atto_per_token: int) -> Decimal:
    """The inverse of `per_token`, without trailing zeros."""
    return _plain(Decimal(atto_per_token).scaleb(-12))


def _plain(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


@dataclass(frozen=True, slots=True)
class Band:
    """Rates, in 10^-18 USD per token, of calls with more than `above` input tokens."""

    above: int
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one model at one moment.

    `base` holds for every call, unless a band of `tiers` (highest threshold first) is crossed by the call's input
    tokens: its rates then hold for all of its tokens (the "cliff" that providers use). `request` is 10^-18 USD
    per call.
    """

    base: Band
    tiers: tuple[Band, ...] = ()
    request: int = 0

    def band(self, input_tokens: int) -> Band:
        """The rates that hold for a call with so many input tokens (cached ones included)."""
        for tier in self.tiers:
            if input_tokens > tier.above:
                return tier
        return self.base

    def cost_atto(self, input: int, cached: int, cache_write: int, output: int, reasoning: int) -> int:
        """The exact cost in 10^-18 USD. Parts larger than their whole are charged as they are, the rest as 0."""
        band = self.band(input) if self.tiers else self.base
        fresh = input - cached - cache_write
        spoken = output - reasoning
        return (
            (fresh * band.input if fresh > 0 else 0)
            + cached * band.cached
            + cache_write * band.cache_write
            + (spoken * band.output if spoken > 0 else 0)
            + reasoning * band.reasoning
            + self.request
        )

    def cost_text(self, input: int, cached: int, cache_write: int, output: int, reasoning: int) -> str:
        """The cost in USD with 12 decimals, rounded half-even, as COPY and numeric(24,12) take it."""
        units, rest = divmod(self.cost_atto(input, cached, cache_write, output, reasoning), _ATTO_PER_UNIT)
        if rest and (rest * 2 > _ATTO_PER_UNIT or (rest * 2 == _ATTO_PER_UNIT and units & 1)):
            units += 1
        # Nearly every call costs less than 1 USD; this runs for each.
        if units < _UNITS_PER_USD:
            return f"0.{units:012d}"
        return f"{units // _UNITS_PER_USD}.{units % _UNITS_PER_USD:012d}"

    def cost(
        self, input: int = 0, cached: int = 0, cache_write: int = 0, output: int = 0, reasoning: int = 0
    ) -> Decimal:
        """The cost in USD, exact to 12 decimals (half-even)."""
        return Decimal(self.cost_text(input, cached, cache_write, output, reasoning))

    @property
    def charges_input(self) -> bool:
        return any(band.input or band.cached or band.cache_write for band in (self.base, *self.tiers))

    @property
    def charges_output(self) -> bool:
        return any(band.output or band.reasoning for band in (self.base, *self.tiers))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of one call or of many calls added up; None where the client did not say."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


def price_call(rate: Rate | None, tokens: Tokens) -> tuple[int, str | None]:
    """The `cost_state` and cost text of one model call.

    A count the price needs but the client did not report makes the cost unknown, never 0: unmetered when nothing is
    known or a charged side is missing, unpriced when there is usage but no price.
    """
    if rate is None:
        return (COST_UNMETERED if tokens.input is None and tokens.output is None else COST_UNPRICED), None
    if (tokens.input is None and rate.charges_input) or (tokens.output is None and rate.charges_output):
        return COST_UNMETERED, None
    return COST_PRICED, rate.cost_text(
        tokens.input or 0, tokens.cached or 0, tokens.cache_write or 0, tokens.output or 0, tokens.reasoning or 0
    )


TierTable = Mapping[int, Decimal]  # threshold → USD per million tokens; -1 is the base rate
BASE = -1


def build_rate(
    *,
    input: TierTable,
    output: TierTable,
    cached: TierTable | None = None,
    cache_write: TierTable | None = None,
    reasoning: TierTable | None = None,
    request_usd: Decimal = Decimal(0),
) -> Rate:
    """A rate from tables of thresholds. Missing cached and cache-write rates are the input's, missing reasoning the
    output's. Each table has BASE, and may have its own thresholds."""
    sides = (input, cached or input, cache_write or input, output, reasoning or output)
    starts = sorted({start for side in sides for start in side} - {BASE}, reverse=True)
    bands = [Band(start, *(per_token(_applicable(side, start)) for side in sides)) for start in (*starts, BASE)]
    return Rate(base=bands[-1], tiers=tuple(bands[:-1]), request=per_call(request_usd))


def _applicable(table: TierTable, start: int) -> Decimal:
    return table[max(threshold for threshold in table if threshold <= start)]
