"""What a call may be done with: as asked, and cheaper. Each option is priced by itself. Pure: no ORM, no clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from budgets.rules.stance import NO_POLICY, Policy
from usage.pricing.rates import Rate

SHORTEST_ANSWER = 16  # tokens; a shorter one is no answer
SHORTEST_SHARE = 4  # of what was asked for: a quarter
_ATTO = -18


@dataclass(frozen=True)
class Wish:
    """A call as asked for. `output` is what is reserved for it; `cap` the max_output_tokens the caller gave.

    `cost`: the caller's own estimate, USD, which stands for the model asked for only.
    """

    provider: str
    model: str
    input: int | None
    output: int | None
    cap: int | None
    cost: Decimal | None = None


@dataclass(frozen=True)
class Option:
    """One way to make the call. USD = fixed + per_token × output; None where no price is known."""

    provider: str
    model: str
    input: int
    output: int
    cap: int | None
    fixed: Decimal | None
    per_token: Decimal | None
    policy: Policy = NO_POLICY
    mode: str = "normal"
    decision: str = "allow"
    code: str = "within_limits"

    @property
    def is_priced(self) -> bool:
        return self.fixed is not None


Pricing = Callable[[str, str], Rate | None]


def price(wish: Wish, rate: Rate | None) -> tuple[Decimal | None, Decimal | None]:
    """(fixed, per output token) in USD; None where the price or the tokens it needs are not known."""
    if wish.cost is not None:
        return wish.cost, Decimal(0)
    if rate is None or wish.input is None:
        return None, None
    fixed = rate.cost_atto(wish.input, 0, 0, 0, 0)
    return Decimal(fixed).scaleb(_ATTO), Decimal(rate.band(wish.input).output).scaleb(_ATTO)


def under(wish: Wish, policy: Policy) -> Wish:
    """The call as a mode's policy has it."""
    model = policy.model_for(wish.model)
    changed = replace(
        wish,
        model=model,
        input=_least(wish.input, policy.max_context_tokens) if wish.input is not None else None,
        output=_least(wish.output, policy.max_output_tokens) if wish.output is not None else None,
        cap=_least(wish.cap, policy.max_output_tokens),
    )
    return replace(changed, cost=None) if model != wish.model else changed


def _least(asked: int | None, most: int | None) -> int | None:
    known = [value for value in (asked, most) if value is not None]
    return min(known) if known else None


def option(wish: Wish, pricing: Pricing, **more) -> Option:
    """The wish priced."""
    fixed, per_token = price(wish, pricing(wish.provider, wish.model))
    return Option(wish.provider, wish.model, wish.input or 0, wish.output or 0, wish.cap, fixed, per_token, **more)


def cheaper(asked: Wish, first: Option, policies: Iterator[tuple[str, Policy]], pricing: Pricing) -> Iterator[Option]:
    """Alternatives by the policies of stricter modes, mildest first, where they change anything and have a price."""
    seen = {(first.model, first.output, first.input)}
    for mode, policy in policies:
        wish = under(replace(asked, provider=first.provider), policy)
        found = option(wish, pricing, policy=policy, mode=mode, decision="degrade", code=f"policy_{mode}")
        if found.is_priced and (found.model, found.output, found.input) not in seen:
            seen.add((found.model, found.output, found.input))
            yield found


def shortest(last: Option) -> int | None:
    """The fewest output tokens an answer of this option may be cut to; None where it is that short already."""
    if last.output <= SHORTEST_ANSWER:
        return None
    return max(SHORTEST_ANSWER, last.output // SHORTEST_SHARE)
