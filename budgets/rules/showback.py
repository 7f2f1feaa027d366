"""Showback: what each group spent itself, and its part of shared costs. Pure; parts sum exactly to the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

# Amounts are split in units of 10^-18 USD, the smallest that costs are computed in.
UNIT_DIGITS = 18


@dataclass(frozen=True)
class Bearer:
    """A group with its own known cost (USD) and requests; `method` where its cost is shared out ("" else)."""

    name: str
    cost: Decimal
    requests: int
    method: str = ""


def shares_of(bearers: Sequence[Bearer]) -> dict[str, Decimal]:
    """Name → what a group gets of the shared costs; a shared group gets minus its own cost.

    Where nobody is left to bear a cost, it stays where it is. The sum is exactly 0.
    """
    others = [one for one in bearers if not one.method]
    found = {one.name: Decimal(0) for one in bearers}
    for shared in bearers:
        if not shared.method or not others:
            continue
        parts = split(shared.cost, _weights(others, shared.method))
        for name, part in parts.items():
            found[name] += part
        found[shared.name] -= shared.cost
    return found


def _weights(others: Sequence[Bearer], method: str) -> dict[str, Decimal]:
    """By the method; evenly where it gives nobody any weight."""
    weighed = {
        "even": {one.name: Decimal(1) for one in others},
        "spend": {one.name: one.cost for one in others},
        "requests": {one.name: Decimal(one.requests) for one in others},
    }[method]
    return weighed if any(weighed.values()) else {one.name: Decimal(1) for one in others}


def split(amount: Decimal, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """`amount` (USD) by weights of 0 and more, to 10^-18; what rounding leaves goes to the largest remainders."""
    units, scale = int(amount.scaleb(UNIT_DIGITS)), max(_digits(weight) for weight in weights.values())
    whole = {name: int(weight.scaleb(scale)) for name, weight in weights.items()}
    total = sum(whole.values())
    floors = {name: divmod(units * weight, total) for name, weight in whole.items()}
    left = units - sum(floor for floor, _ in floors.values())
    first = sorted(floors, key=lambda name: (-floors[name][1], name))[:left]
    return {name: Decimal(floor + (name in first)).scaleb(-UNIT_DIGITS) for name, (floor, _) in floors.items()}


def _digits(value: Decimal) -> int:
    """Digits behind the point."""
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
