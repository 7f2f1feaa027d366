"""What the page of one SLO shows beside its standing: where the bad units come from, and how the budget went."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import QuerySet

from accounts.models import AuditEntry
from incidents.models import AlertRule, Slo
from incidents.queries.burning import windows_of
from incidents.queries.slos import burns, by_value, tallies_by
from incidents.rules.slos import WINDOWS, Burn, Tally, budget_course, firings, is_burning, pairs
from usage.measures import NARROW_DIMENSIONS

REQUESTS_BY = ("team", "feature", "tenant", "environment", "endpoint", "region", "prompt_version", "release")
CALLS_BY = ("team", "feature", "tenant", "provider", "model", "region", "prompt_version", "release")
SHOWN = 8
BURN_DAYS = 7


@dataclass(frozen=True)
class Culprit:
    """A value that bad units come from. `share`: of all bad ones; `expected`: its share of all units."""

    dimension: str
    value: str
    tally: Tally
    share: Decimal
    expected: Decimal


@dataclass(frozen=True)
class Watch:
    """A burn rate rule and its two windows now."""

    rule: AlertRule
    long: Burn
    short: Burn
    fires: bool

    @property
    def few(self) -> bool:
        """Whether there are too few events in the long window to judge."""
        return self.long.events < self.rule.min_events


def culprits(slo: Slo, at: datetime) -> list[Culprit]:
    """Values with more than their part of the bad units of the window, the largest surplus first; [] of a spend."""
    if slo.indicator == Slo.Indicator.SPEND:
        return []
    found: list[Culprit] = []
    for dimension in _dimensions(slo):
        found += _of_dimension(dimension, by_value(slo, dimension, at - slo.window, at))
    ranked = sorted(found, key=lambda one: one.share - one.expected, reverse=True)
    # A feature with one endpoint and one prompt version is one cause, not three.
    alike = {(one.tally.good, one.tally.bad): one for one in reversed(ranked)}
    return [one for one in ranked if alike[one.tally.good, one.tally.bad] is one][:SHOWN]


def _dimensions(slo: Slo) -> list[str]:
    """Those not fixed by the slice, as far as they are kept together with it."""
    names = [name for name in (CALLS_BY if slo.counts_calls else REQUESTS_BY) if not getattr(slo, name, "")]
    if slo.tenant:
        return [name for name in names if name in NARROW_DIMENSIONS or name == "team"]
    return names if set(slo.exclusions) <= NARROW_DIMENSIONS else [name for name in names if name != "tenant"]


def _of_dimension(dimension: str, found: dict[str, Tally]) -> list[Culprit]:
    bad, total = sum(one.bad for one in found.values()), sum(one.total for one in found.values())
    if not bad or len(found) < 2:
        return []
    shares = {value: (Decimal(one.bad) / bad, Decimal(one.total) / total) for value, one in found.items()}
    return [Culprit(dimension, value, found[value], *pair) for value, pair in shares.items() if pair[0] > pair[1]]


def watches(slo: Slo, rules: Iterable[AlertRule], at: datetime) -> list[Watch]:
    """The burn rate rules of the SLO, fastest first, each with its windows as they burn now."""
    rules = sorted(rules, key=lambda rule: rule.window_seconds)
    windows = {*WINDOWS, *(seconds for rule in rules for seconds in windows_of(rule))}
    now = burns([slo], windows, at)[slo.pk]
    return [_watch(rule, now, slo) for rule in rules]


def _watch(rule: AlertRule, now: dict[int, Burn], slo: Slo) -> Watch:
    long, short = (now[seconds] for seconds in windows_of(rule))
    rate = rule.threshold or Decimal(0)
    return Watch(rule, long, short, rule.is_active and is_burning(long, short, rate, rule.min_events))


def would_have_fired(slo: Slo, days: int, at: datetime) -> dict[str, list[datetime]]:
    """Route → hours of the last days in which a burn rate rule of the objective would have begun to fire, in order."""
    start = at - timedelta(days=days)
    found = tallies_by(slo, start, at, "hour")
    steps = _steps(start, at, 1)
    hours = [found.get(step, Tally()) for step in steps]
    told: dict[str, list[datetime]] = {"page": [], "ticket": []}
    for pair in pairs(slo.target, slo.window):
        began = firings(hours, slo.target, pair, pair.rate(slo.window), slo.min_events)
        told[pair.route] += [steps[place] for place in began]
    return {route: sorted(moments) for route, moments in told.items()}


def burn_by_hour(slo: Slo, at: datetime) -> list[tuple[datetime, Decimal | None]]:
    """(hour, burn rate) of the last days; None in hours without anything to judge."""
    start = at - min(slo.window, timedelta(days=BURN_DAYS))
    found = tallies_by(slo, start, at, "hour")
    return [(hour, found.get(hour, Tally()).burn(slo.target).burn_rate) for hour in _steps(start, at, 1)]


def budget_by_time(slo: Slo, at: datetime) -> list[tuple[datetime, Decimal | None]]:
    """(step, share of the budget left after it) from the start of the window."""
    hours = 6 if slo.window_days > BURN_DAYS else 1
    start = at - slo.window
    found = tallies_by(slo, start, at, "6hour" if hours == 6 else "hour")
    steps = _steps(start, at, hours)
    return list(zip(steps, budget_course([found.get(step, Tally()) for step in steps], slo.target), strict=True))


def _steps(start: datetime, end: datetime, hours: int) -> list[datetime]:
    first = start.replace(minute=0, second=0, microsecond=0)
    first = first.replace(hour=first.hour - first.hour % hours)
    count = -(-(end - first) // timedelta(hours=hours))
    return [first + number * timedelta(hours=hours) for number in range(count)]


def history(slo: Slo) -> QuerySet[AuditEntry]:
    """What was changed of it, newest first."""
    actions = [f"slo.{verb}" for verb in ("add", "edit", "archive", "restore")]
    found = AuditEntry.objects.filter(action__in=actions, target__startswith=f"SLO {slo.pk}: ")
    return found.select_related("actor").order_by("-id")
