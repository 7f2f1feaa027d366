"""Facts into sentences and risks: pure, no ORM, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from aiops_site import formats
from aiops_site.product.rules import FEWEST, Value, difference, wilson

ZERO = Decimal(0)
CONCENTRATED = 0.60  # of the known spend with one provider
UNTAGGED = 0.05  # of the known spend without a cost centre or feature
FALLING_BACK = 0.02  # of a feature's model calls
FAILING = 0.01  # of a feature's requests, and more than before beyond chance
TOP = 3


@dataclass(frozen=True)
class Slice:
    """What one combination of team, feature, provider and cost centre did.

    `cost` is None where all of it is unknown.
    """

    team: str
    feature: str
    provider: str
    cost_center: str
    requests: int
    errors: int
    calls: int
    fallbacks: int
    unpriced: int
    cost: Decimal | None

    @property
    def known_cost(self) -> Decimal:
        return self.cost or ZERO


@dataclass(frozen=True)
class Sentence:
    """A sentence with its number set apart: `before` **number** `after`; `tone` is "", ok, warn or bad."""

    topic: str
    before: str
    number: str
    after: str
    tone: str = ""
    url: str = ""


@dataclass(frozen=True)
class Risk:
    """A fact that may go wrong, who owns it (a team's slug) and where it shows. `weight` 0 to 1 orders them."""

    title: str
    fact: str
    team: str
    weight: float
    kind: str
    filters: tuple[tuple[str, str], ...] = ()


# --- Risks --------------------------------------------------------------------------------------------------------
def risks(now: list[Slice], before: list[Slice]) -> list[Risk]:
    """Every risk the facts show, heaviest first.

    The weight is the share of spend, calls or requests that is exposed; what already fails users counts double.
    """
    found = [*_concentration(now), *_unpriced(now), *_untagged(now), *_fallbacks(now), *_failing(now, before)]
    return sorted(found, key=lambda risk: (-risk.weight, risk.title))


def _concentration(slices: list[Slice]) -> Iterable[Risk]:
    spend, total = _by(slices, lambda s: s.provider, lambda s: s.known_cost), sum(s.known_cost for s in slices)
    name = max(spend, key=spend.__getitem__, default="")
    if name and total and spend[name] / total > CONCENTRATED:
        share = spend[name] / total
        owner = _owner([s for s in slices if s.provider == name], lambda s: s.known_cost)
        fact = f"{formats.percent(share)} of spend goes to it; an outage or a price rise there hits most features."
        yield Risk(f"One provider: {name}", fact, owner, float(share), "provider", (("provider", name),))


def _unpriced(slices: list[Slice]) -> Iterable[Risk]:
    unpriced, calls = sum(s.unpriced for s in slices), sum(s.calls for s in slices)
    if unpriced:
        share = unpriced / calls if calls else 1.0
        fact = f"{formats.compact(unpriced)} model calls ({formats.percent(share)}) have no price, so no known cost."
        yield Risk("Spend that is not counted", fact, _owner(slices, lambda s: s.unpriced), share, "unpriced")


def _untagged(slices: list[Slice]) -> Iterable[Risk]:
    total = sum(s.known_cost for s in slices)
    for name, label in (("cost_center", "cost centre"), ("feature", "feature")):
        bare = [s for s in slices if not getattr(s, name)]
        cost = sum(s.known_cost for s in bare)
        if total and cost / total > UNTAGGED:
            fact = f"{formats.money(cost)}, {formats.percent(cost / total)} of spend, names no {label}."
            owner = _owner(bare, lambda s: s.known_cost)
            yield Risk(f"Spend without a {label}", fact, owner, float(cost / total), name)


def _fallbacks(slices: list[Slice]) -> Iterable[Risk]:
    for (team, feature), group in _grouped(slices).items():
        calls, fallbacks = sum(s.calls for s in group), sum(s.fallbacks for s in group)
        interval = wilson(fallbacks / calls, calls) if calls else None
        if interval and calls >= FEWEST and interval.low > FALLING_BACK:
            fact = f"{formats.percent(fallbacks / calls)} of its model calls were answered by a second choice."
            filters = (("feature", feature), ("status", "fallback"))
            yield Risk(
                f"{feature or 'Untagged calls'} leans on fallbacks", fact, team, fallbacks / calls, "events", filters
            )


def _failing(now: list[Slice], before: list[Slice]) -> Iterable[Risk]:
    earlier = _grouped(before)
    for key, group in _grouped(now).items():
        rate, count = _error_rate(group)
        old_rate, old_count = _error_rate(earlier.get(key, []))
        change = difference(old_rate, old_count, rate, count)
        if rate is not None and change and min(count, old_count) >= FEWEST and rate > FAILING and change.low > 0:
            team, feature = key
            fact = f"{formats.percent(rate)} of its requests fail, {formats.percent(old_rate)} in the period before."
            filters = (("feature", feature), ("status", "error"))
            yield Risk(f"{feature or 'Untagged requests'} fails more often", fact, team, 2 * rate, "events", filters)


def _error_rate(group: list[Slice]) -> tuple[float | None, int]:
    count = sum(s.requests for s in group)
    return (sum(s.errors for s in group) / count if count else None), count


def _grouped(slices: list[Slice]) -> dict[tuple[str, str], list[Slice]]:
    found: dict[tuple[str, str], list[Slice]] = {}
    for one in slices:
        found.setdefault((one.team, one.feature), []).append(one)
    return found


def _by(slices: list[Slice], key, value) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for one in slices:
        totals[key(one)] = totals.get(key(one), ZERO) + value(one)
    return totals


def _owner(slices: list[Slice], value) -> str:
    """The team with the largest part."""
    totals = _by(slices, lambda s: s.team, value)
    return max(totals, key=totals.__getitem__, default="")


# --- Sentences ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Reliability:
    """Of the window; `worst` is (day, availability), None without traffic; `objectives` is (kept, of how many,
    the one missed most), None where none can be judged."""

    availability: Value
    previous: Value
    requests: int
    errors: int
    worst: tuple[str, Value] | None
    objectives: tuple[int, int, str] | None = None


def reliability(facts: Reliability) -> Sentence:
    """How many requests were answered, how that compares, and the worst day."""
    if facts.availability is None:
        return Sentence("Reliability", "", "No requests", "in this time.")
    of = formats.counted(facts.requests, "requests", formats.compact)
    after = f"of {of} {'was' if facts.requests == 1 else 'were'} answered{_versus(facts)}; "
    after += f"{formats.exact(facts.errors)} failed" if facts.errors else "none failed"
    if facts.worst and facts.errors:
        after += f". The worst day was {facts.worst[0]} with {formats.percent(facts.worst[1])}"
    return Sentence("Reliability", "", formats.percent(facts.availability), f"{after}.{_promised(facts)}")


def _promised(facts: Reliability) -> str:
    if facts.objectives is None:
        return ""
    kept, judged, missed = facts.objectives
    if judged == 1:
        return f" {missed} misses its objective." if missed else " The one objective is kept."
    if not missed:
        return f" All {judged} objectives are kept."
    return f" {kept} of {judged} objectives are kept; {missed} is missed most."


def _versus(facts: Reliability) -> str:
    if facts.previous is None:
        return ""
    change = (float(facts.availability or 0) - float(facts.previous)) * 100
    if abs(change) < 0.05:
        return ", as in the period before"
    return f", {abs(change):.1f} points {'better' if change > 0 else 'worse'} than in the period before"


@dataclass(frozen=True)
class Spend:
    """Of the month so far. `before` is the same days of the month before; `driver` (name, USD more or spent).

    `expected` by the end of the month, and its 80 % interval, where there is a forecast.
    """

    cost: Value
    before: Value
    month: str
    month_before: str
    driver: tuple[str, Decimal] | None
    unpriced: int
    expected: Value = None
    interval: tuple[Value, Value] | None = None


def spend(facts: Spend) -> Sentence:
    """What the month cost so far against the same days of the month before, and what drove it."""
    if facts.cost is None:
        after = f"what {facts.month} cost so far: its calls have no price."
        return Sentence("Spend", "It is", "unknown", after, "warn")
    after = f"spent in {facts.month} so far{_than_before(facts)}."
    if facts.interval:
        low, high = (formats.money(end) for end in facts.interval)
        after += f" {formats.money(facts.expected)} expected by its end, {low} to {high} in 80 of 100 cases."
    if facts.unpriced:
        of = formats.counted(facts.unpriced, "calls", formats.compact)
        after += f" {of} {'has no price and is' if facts.unpriced == 1 else 'have no price and are'} not in it."
    return Sentence("Spend", "", formats.money(facts.cost), after)


def _than_before(facts: Spend) -> str:
    name, amount = facts.driver or ("", ZERO)
    ratio = formats.change(facts.cost, facts.before)
    if ratio is None or facts.before is None:
        said = f", most of it by {name} ({formats.money(amount)})" if name else ""
        return f"{said}; there is no spend in the same days of {facts.month_before} to compare with"
    more = Decimal(facts.cost or 0) - Decimal(facts.before)
    text = f", {formats.money(abs(more))} ({formats.percent(abs(ratio))}) {'more' if more > 0 else 'less'} than in the"
    text += f" same days of {facts.month_before}"
    return f"{text}, mostly {name} ({'+' if amount > 0 else ''}{formats.money(amount)})" if name else text


@dataclass(frozen=True)
class Proxy:
    """A quality signal now and before, with the answers each speaks of. `says` finishes "12 % …"."""

    says: str
    better: str
    value: Value
    count: int
    before: Value
    count_before: int

    @property
    def gain(self) -> float:
        """How far it surely moved in the good direction (negative: bad), 0 within chance or of too few answers."""
        interval = difference(self.before, self.count_before, self.value, self.count)
        if interval is None or min(self.count, self.count_before) < FEWEST or interval.low <= 0 <= interval.high:
            return 0.0
        moved = float(self.value or 0) - float(self.before or 0)
        return moved if self.better == "up" else -moved


def quality(proxies: list[Proxy]) -> Sentence:
    """The signal that surely moved most for the worse, else for the better, else the steady state."""
    known = [proxy for proxy in proxies if proxy.value is not None and proxy.count]
    if not known:
        return Sentence("Quality", "", "No signal", "of quality is reported yet: refusals, citations, feedback.")
    worst, best = min(known, key=lambda p: p.gain), max(known, key=lambda p: p.gain)
    if not worst.gain and not best.gain:
        first = known[0]
        compared = any(proxy.before is not None for proxy in known)
        said = "no quality signal changed beyond chance" if compared else "there is no period before to compare with"
        after = f"{first.says}; {said}."
        return Sentence("Quality", "", formats.percent(first.value), after)
    shown, other = (worst, best if best.gain > 0 else None) if worst.gain < 0 else (best, None)
    after = f"{shown.says}, {formats.percent(shown.before)} in the period before."
    if other:
        after += f" Better: {formats.percent(other.value)} {other.says}, {formats.percent(other.before)} before."
    return Sentence("Quality", "", formats.percent(shown.value), after)


def risk(found: list[Risk]) -> Sentence:
    """How many risks there are and the heaviest."""
    if not found:
        return Sentence("Risk", "", "No risk", "shows in the figures of this time.")
    noun = "risk shows" if len(found) == 1 else "risks show"
    return Sentence("Risk", "", f"{len(found)}", f"{noun} in the figures. First: {found[0].title}. {found[0].fact}")
