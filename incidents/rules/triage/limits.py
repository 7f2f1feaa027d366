"""A rate limit that fits: over which slice, and how much, made from the rate there is now."""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from incidents.rules.triage.picture import Picture
from incidents.rules.triage.radius import Radius

LIMITED = ("feature", "tenant", "environment", "provider", "model")  # of a blast radius, what a limit can be over
MOST_SLICES = 3  # a limit each for so many parts of the radius; of more, none is offered by part
MINUTE = timedelta(minutes=1)
UP = 1.25  # a load of so many times the usual is itself what is too much
THROUGH = 0.9  # of what a provider lets through: retries of the refused count against its limit too
HALF = 0.5


@dataclass(frozen=True)
class Rate:
    """Model calls of a slice in the window, and as usual: counts, and over how many minutes. tokens: None, unknown."""

    calls: int
    refused: int
    tokens: int | None
    minutes: float
    usual_calls: int
    usual_minutes: float

    @property
    def now(self) -> float:
        return self.calls / self.minutes

    @property
    def through(self) -> float:
        """Calls a minute that are not refused for their rate."""
        return (self.calls - self.refused) / self.minutes

    @property
    def usual(self) -> float | None:
        return self.usual_calls / self.usual_minutes if self.usual_minutes else None


@dataclass(frozen=True)
class Suggested:
    """What to let through; None where nothing is known to make it from. why: how it was computed.

    at_once: how many calls are under way at that rate if each takes the p95 (Little's law: L = λ·W).
    """

    requests: int | None
    tokens: int | None
    at_once: int | None
    why: str

    @property
    def amounts(self) -> dict[str, Any]:
        """By the names of a control's fields."""
        return {
            "requests_per_minute": self.requests,
            "tokens_per_minute": self.tokens,
            "concurrency": self.at_once,
        }


def slices(radius: Radius | None) -> list[dict[str, str]]:
    """The parts of the blast radius, as a limit can be over them; nothing where one of them has no such part."""
    clauses = radius.clauses if radius else ()
    found = [{name: value for name, value in clause if name in LIMITED} for clause in clauses]
    distinct = [one for place, one in enumerate(found) if one not in found[:place]]
    return distinct if all(distinct) and len(distinct) <= MOST_SLICES else []


def rate_in(picture: Picture, where: dict[str, str]) -> Rate:
    """The rate of a slice. What the table has no dimension for was a filter of the reading already."""
    by_tenant = "tenant" in where and "tenant" not in picture.table.dimensions and bool(picture.tenants.keys)
    table = picture.tenants if by_tenant else picture.table
    places = table.matching([(name, value) for name, value in where.items() if name in table.dimensions])

    def count(name: str, side: str = "now") -> int:
        return int(table.column(side, name)[places].sum())

    windows = picture.baseline.windows[:1] if by_tenant else picture.baseline.windows
    return Rate(
        count("calls"),
        count("rate_limited"),
        count("total_tokens") if "total_tokens" in table.counters else None,
        picture.hours * 60,
        count("calls", "usual"),
        sum((one.end - one.start for one in windows), timedelta()) / MINUTE,
    )


def suggested(rate: Rate, p95_ms: float | None, *, is_refused: bool) -> Suggested:
    """is_refused: it is against a provider's 429s, so what the provider lets through counts, not the usual."""
    if not rate.calls:
        return Suggested(None, None, None, "No calls were recorded, so nothing is suggested.")
    part, of_tokens, why = _part(rate, is_refused)
    requests = max(round(rate.now * part), 1)
    tokens = max(round(rate.tokens / rate.minutes * of_tokens), 1) if rate.tokens else None
    at_once = max(ceil(requests * p95_ms / (MINUTE / timedelta(milliseconds=1))), 1) if p95_ms else None
    return Suggested(requests, tokens, at_once, why)


def _part(rate: Rate, is_refused: bool) -> tuple[float, float, str]:
    """The part of the calls, and that of the tokens, to let through; refused calls use no tokens."""
    if is_refused and rate.refused and rate.through >= 1:
        why = f"Suggested: nine tenths of the {rate.through:,.1f} calls a minute that get through, of {rate.now:,.1f}."
        return THROUGH * rate.through / rate.now, THROUGH, why
    if rate.usual and rate.now > UP * rate.usual:
        why = f"Suggested: its usual {rate.usual:,.1f} calls a minute; now there are {rate.now:,.1f}."
        return rate.usual / rate.now, rate.usual / rate.now, why
    return HALF, HALF, f"Suggested: half of the {rate.now:,.1f} calls a minute there are now."
