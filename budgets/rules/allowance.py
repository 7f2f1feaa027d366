"""How much a budget allows in a period: its limit, what was rolled over, and what is left of its grants. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

NOTHING = Decimal(0)


@dataclass(frozen=True)
class Granted:
    """A grant, or what is left of one."""

    amount: Decimal
    valid_from: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Past:
    """An earlier period: `over` is what it used beyond its limit and what was rolled over, so out of grants."""

    starts_at: datetime
    ends_at: datetime
    over: Decimal


def carried_over(limit: Decimal, carried: Decimal, used: Decimal, share: Decimal) -> Decimal:
    """What a period hands on to the next: a share of what it left over. Grants are not rolled over, they expire."""
    return max(limit + carried - used, NOTHING) * share


def grants_left(grants: Iterable[Granted], past: Iterable[Past]) -> list[Granted]:
    """What earlier periods left of the grants; those that expire first are used first."""
    left = sorted(grants, key=lambda grant: grant.expires_at)
    for period in sorted(past, key=lambda period: period.starts_at):
        left = _after(left, period)
    return left


def _after(grants: list[Granted], period: Past) -> list[Granted]:
    over, left = max(period.over, NOTHING), []
    for grant in grants:
        valid = grant.valid_from < period.ends_at and grant.expires_at > period.starts_at
        taken = min(over, grant.amount) if valid else NOTHING
        over -= taken
        if grant.amount > taken:
            left.append(Granted(grant.amount - taken, grant.valid_from, grant.expires_at))
    return left


def granted(grants: Iterable[Granted], at: datetime) -> Decimal:
    """The sum of those that are valid at that moment."""
    return sum((grant.amount for grant in grants if grant.valid_from <= at < grant.expires_at), NOTHING)
