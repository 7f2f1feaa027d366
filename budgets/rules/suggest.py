"""Ideas that the figures of a slice suggest, each with the arithmetic that leads to its saving. Pure."""

from dataclasses import dataclass, replace
from decimal import Decimal

from aiops_site import formats
from usage.pricing.rates import Band, Rate

LONG_PROMPT = 1_500  # input tokens by call
WELL_CACHED = Decimal("0.5")
STABLE = Decimal("0.8")  # part of a prompt without its retrieved text that calls have in common, at most
SHORT_ANSWER = 300  # output tokens by call
MUCH_CHEAPER = Decimal("0.5")
MANY_RETRIES = Decimal("0.01")
WORTH_IT = Decimal(1)  # USD a month
CENT = Decimal("0.01")
MTOK_OF_ATTO = Decimal("1e-12")


@dataclass(frozen=True)
class Slice:
    """Calls of one team, feature and model over some days; every one of them has a known cost (USD)."""

    team: str
    feature: str
    provider: str
    model: str
    calls: int
    input: int
    cached: int
    context: int
    output: int
    retries: int
    cost: Decimal
    rate: Rate

    @property
    def band(self) -> Band:
        """The rates of an average call."""
        return self.rate.band(self.input // self.calls)

    @property
    def key(self) -> str:
        return f"{self.feature}|{self.provider}|{self.model}"


@dataclass(frozen=True)
class Suggestion:
    """An idea with its saving in USD a month. arithmetic: (what, figure) lines down to the saving."""

    key: str
    team: str
    idea: str
    saving: Decimal
    effort: Decimal
    risk: str
    plan: str
    arithmetic: list[list[str]]

    @property
    def roi(self) -> Decimal:
        return self.saving / self.effort


def suggestions(slices: list[Slice], days: int) -> list[Suggestion]:
    """Every idea worth a dollar a month and more, highest ROI first. `days`: how many the slices are of."""
    month = Decimal(30) / days
    found = [one for part in slices for one in (_cache(part), _smaller(part, slices), _retries(part)) if one]
    monthly = [_by_month(one, days, month) for one in found]
    return sorted((one for one in monthly if one.saving >= WORTH_IT), key=lambda one: (-one.roi, one.key))


def _by_month(one: Suggestion, days: int, month: Decimal) -> Suggestion:
    saving = (one.saving * month).quantize(CENT)
    line = ["Saving a month", f"{formats.money_exact(saving)} ({days} days × {formats.plain(month.quantize(CENT))})"]
    return replace(one, saving=saving, arithmetic=[*one.arithmetic, line])


def _cache(part: Slice) -> Suggestion | None:
    """Long prompts that are hardly read from the provider's cache."""
    per_call, band = part.input // part.calls, part.band
    if per_call < LONG_PROMPT or part.cached >= WELL_CACHED * part.input or band.cached >= band.input:
        return None
    target = int((part.input - min(part.context, part.input)) * STABLE)
    more = target - part.cached
    if more <= 0:
        return None
    saving = _usd(more * (band.input - band.cached))
    return Suggestion(
        key=f"cache|{part.key}",
        team=part.team,
        idea=f"Cache the prompt of {part.feature or 'calls without a feature'} on {part.model}",
        saving=saving,
        effort=Decimal("0.5"),
        risk="low",
        plan="Put what is the same in every call first. Watch the share of cached input rise and the answers stay.",
        arithmetic=[
            ["Input by call", f"{per_call:,} tokens over {part.calls:,} calls"],
            ["Retrieved text, not cacheable", f"{part.context:,} tokens"],
            ["Could be cached", f"{target:,} tokens ({formats.percent(STABLE)} of the rest)"],
            ["Cached now", f"{part.cached:,} tokens ({formats.percent(Decimal(part.cached) / part.input)})"],
            ["Cheaper by", f"{_mtok(band.input)} − {_mtok(band.cached)} USD per 1M tokens"],
            ["Saving", f"{more:,} tokens × that = {formats.money_exact(saving.quantize(CENT))}"],
        ],
    )


def _smaller(part: Slice, slices: list[Slice]) -> Suggestion | None:
    """Short answers of a model, where the team's provider has a much cheaper one that somebody here already uses."""
    if part.output // part.calls > SHORT_ANSWER or not part.cost:
        return None
    others = {one.model: one for one in slices if one.provider == part.provider and one.model != part.model}
    priced = [(_cost_at(part, one.rate), one.model, one) for one in others.values()]
    fitting = [found for found in priced if found[0] <= MUCH_CHEAPER * part.cost]
    if not fitting:
        return None
    # The dearest that is cheap enough: the nearest in what it can do.
    cost, name, other = max(fitting, key=lambda found: found[:2])
    saving, band = part.cost - cost, other.band
    return Suggestion(
        key=f"smaller|{part.key}|{name}",
        team=part.team,
        idea=f"Use {name} instead of {part.model} for {part.feature or 'calls without a feature'}",
        saving=saving,
        effort=Decimal(1),
        risk="medium",
        plan=f"Send a share of the calls to {name}; compare refusals, schema validity, thumbs and scores before all.",
        arithmetic=[
            ["Output by call", f"{part.output // part.calls:,} tokens over {part.calls:,} calls"],
            ["Cost now", f"{formats.money_exact(part.cost)} on {part.model}"],
            [
                f"{name} per 1M tokens",
                f"input {_mtok(band.input)}, cached {_mtok(band.cached)}, output {_mtok(band.output)} USD",
            ],
            [
                "The same tokens there",
                f"{part.input - part.cached:,} input, {part.cached:,} cached, {part.output:,} output"
                f" = {formats.money_exact(cost.quantize(CENT))}",
            ],
            ["Saving", formats.money_exact(saving.quantize(CENT))],
        ],
    )


def _cost_at(part: Slice, rate: Rate) -> Decimal:
    """What the tokens of the slice would cost at another rate, USD."""
    band = rate.band(part.input // part.calls)
    tokens = (part.input - part.cached) * band.input + part.cached * band.cached + part.output * band.output
    return _usd(tokens + rate.request * part.calls)


def _retries(part: Slice) -> Suggestion | None:
    """Retries, at what an average call costs: what is billed of them is at most that."""
    if part.retries < MANY_RETRIES * part.calls:
        return None
    per_call = part.cost / part.calls
    saving = per_call * part.retries
    return Suggestion(
        key=f"retries|{part.key}",
        team=part.team,
        idea=f"Fewer retries of {part.feature or 'calls without a feature'} on {part.model}",
        saving=saving,
        effort=Decimal(1),
        risk="low",
        plan="Back off on 429s, raise time-outs that end good calls, cap attempts. Watch retries and errors fall.",
        arithmetic=[
            ["Retries", f"{part.retries:,} of {part.calls:,} calls"],
            ["Cost of a call", formats.money(per_call)],
            ["Saving, at most", f"{part.retries:,} × that = {formats.money_exact(saving.quantize(CENT))}"],
        ],
    )


def _usd(atto: int) -> Decimal:
    return Decimal(atto).scaleb(-18)


def _mtok(atto: int) -> str:
    """10^-18 USD per token as USD per million tokens."""
    return formats.plain(Decimal(atto) * MTOK_OF_ATTO)
