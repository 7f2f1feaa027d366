"""How a label set of an alert rule moves: OK → pending → firing → OK, with hysteresis, holding times and flapping.

What is stored is all there is: a step that is missed or made twice, and a clock that jumps, change nothing for good.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from incidents.rules.chance import surely_above

Verdict = Literal["breach", "between", "well", "unjudged"]
State = Literal["ok", "pending", "firing"]

HOUR = timedelta(hours=1)
# Evaluations are 30 s apart. Time between two of them counts as held only up to this: nobody looked in between.
LONGEST_GAP = timedelta(seconds=90)
# So many changes within an hour are flapping: it then stays firing until it was well for an hour.
FLAPPING = 6


@dataclass(frozen=True)
class Terms:
    """What a rule asks: `clear` is where a value is well again, no_data what a value that is not judged means."""

    above: bool
    threshold: Decimal
    clear: Decimal
    for_seconds: int = 0
    clear_seconds: int = 300
    min_events: int = 0
    no_data: Literal["ok", "hold", "fire"] = "ok"
    # Of shares: a healthy one is so many times below the threshold; begin only where chance is no explanation.
    sure: int = 0
    times_usual: Decimal = Decimal(0)  # the threshold is at least so many times what is usual


@dataclass(frozen=True)
class Reading:
    """What was measured: value and reference in the metric's unit, None where unknown; events is the sample."""

    value: Decimal | None
    events: int | None = None
    reference: Decimal | None = None


@dataclass(frozen=True)
class Standing:
    """Where a label set stands. `seen`: when it was last stepped; `changes`: moments of the last hour, in order."""

    state: State = "ok"
    pending_since: datetime | None = None
    well_since: datetime | None = None
    changes: tuple[datetime, ...] = ()
    seen: datetime | None = None

    @property
    def is_flapping(self) -> bool:
        return len(self.changes) >= FLAPPING


def judge(terms: Terms, reading: Reading) -> Verdict:
    """What a reading means. Too few events are never a breach of their own."""
    few = reading.events is not None and reading.events < terms.min_events
    if reading.value is None or few:
        return _UNKNOWN[terms.no_data]
    if terms.times_usual and reading.reference:
        terms = _raised_to_usual(terms, reading.reference)
    verdict = _compare(terms, reading.value)
    if verdict == "breach" and terms.sure and reading.events:
        well = float(terms.threshold) / terms.sure
        return "breach" if surely_above(float(reading.value), reading.events, well) else "between"
    return verdict


def _raised_to_usual(terms: Terms, usual: Decimal) -> Terms:
    threshold = max(terms.threshold, terms.times_usual * usual)
    return replace(terms, threshold=threshold, clear=terms.clear * threshold / terms.threshold)


_UNKNOWN: dict[str, Verdict] = {"ok": "well", "hold": "unjudged", "fire": "breach"}


def _compare(terms: Terms, value: Decimal) -> Verdict:
    if terms.above:
        return "breach" if value > terms.threshold else "between" if value > terms.clear else "well"
    return "breach" if value < terms.threshold else "between" if value < terms.clear else "well"


def step(standing: Standing, verdict: Verdict, terms: Terms, now: datetime) -> Standing:
    """The standing after one evaluation at `now`."""
    standing = _steadied(standing, now)
    if verdict == "unjudged":
        return standing
    if standing.state == "firing":
        return _while_firing(standing, verdict, terms, now)
    if verdict != "breach":
        return replace(standing, state="ok", pending_since=None, well_since=None)
    since = standing.pending_since or now
    if now - since >= timedelta(seconds=terms.for_seconds):
        changes = (*standing.changes, now)
        return replace(standing, state="firing", pending_since=since, well_since=None, changes=changes)
    return replace(standing, state="pending", pending_since=since)


def _while_firing(standing: Standing, verdict: Verdict, terms: Terms, now: datetime) -> Standing:
    if verdict != "well":
        relapse = (now,) if verdict == "breach" and standing.well_since else ()
        return replace(standing, well_since=None, changes=standing.changes + relapse)
    since = standing.well_since or now
    enough = HOUR if standing.is_flapping else timedelta(seconds=terms.clear_seconds)
    if now - since < enough:
        return replace(standing, well_since=since)
    return replace(standing, state="ok", pending_since=None, well_since=None, changes=(*standing.changes, now))


def _steadied(standing: Standing, now: datetime) -> Standing:
    """The same with its moments moved by what passed unseen, so that it has held no longer than was looked at."""
    changes = tuple(at for at in standing.changes if timedelta(0) <= now - at <= HOUR)
    shift = timedelta(0)
    if standing.seen is not None:
        passed = now - standing.seen
        shift = passed - min(max(passed, timedelta(0)), LONGEST_GAP)
    moved = [at + shift if at else None for at in (standing.pending_since, standing.well_since)]
    return replace(standing, pending_since=moved[0], well_since=moved[1], changes=changes, seen=now)


def ratio(value: Decimal | None, reference: Decimal | None, floor: Decimal) -> Decimal | None:
    """`value` by its baseline, which counts for at least `floor`, so that twice nearly nothing is not much.

    None where one of them is unknown or the baseline is nothing.
    """
    if value is None or reference is None:
        return None
    base = max(reference, floor)
    return value / base if base else None
