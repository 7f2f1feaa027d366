"""Whether a mitigation helped: the signal before it and now, held to what chance does. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from aiops_site import formats
from incidents.rules.triage.signals import Reading, Signal, rise, score

SURE = 3.0  # standard score from which a move is no chance
FELL = 1 / 3  # a signal that fell by less of itself has not helped
MOST_NEEDED = 100_000
BACK_MARGIN = 1.25  # at most so many times the usual rate is back to usual

SURELY_SOME = 7  # where so many are expected, none at all is no chance (Poisson: less than one time in a thousand)

Outcome = Literal["helped", "stopped", "unchanged", "worse", "early"]
WORDS = {
    "helped": "Helped",
    "stopped": "Stopped",
    "unchanged": "No change",
    "worse": "Worse",
    "early": "Too early",
}
TONES = {"helped": "ok", "stopped": "ok", "unchanged": "warn", "worse": "bad", "early": "neutral"}


@dataclass(frozen=True)
class Verdict:
    """`text`: "Error rate 31 % → 4 % in 6 min". needed: events that are still missing to tell."""

    outcome: Outcome
    text: str
    needed: int = 0

    @property
    def word(self) -> str:
        return WORDS[self.outcome]

    @property
    def tone(self) -> str:
        return TONES[self.outcome]


def judge(
    signal: Signal,
    before: tuple[float, int],
    now: tuple[float, int],
    usual: float | None,
    passed: timedelta,
    expected: float = 0.0,
) -> Verdict:
    """before, now: (bad, base) of the signal; usual: its rate on a good day; passed: since the mitigation.

    expected: of a mitigation that may stop what is counted, how many there would have been since at the pace before.
    """
    reading = Reading(now[0], now[1], before[0], before[1])
    if not before[1]:
        return Verdict("early", f"{signal.label}: nothing was recorded before it to compare with")
    if not now[1] and expected >= SURELY_SOME:
        return Verdict("stopped", f"{signal.label} {_figure(signal, reading.usual)} → no {signal.noun} any more")
    if not now[1]:
        return Verdict("early", f"{signal.label}: nothing was recorded since", needed_events(signal, before, usual))
    text = f"{signal.label} {_figure(signal, reading.usual)} → {_figure(signal, reading.rate)} in {_span(passed)}"
    sure, part = score(signal, reading) or 0.0, _part(signal, reading)
    if sure <= -SURE and part <= -FELL:
        return Verdict("helped", text)
    if sure >= SURE and part >= FELL:
        return Verdict("worse", text)
    needed = needed_events(signal, before, usual) - now[1]
    return Verdict("early", text, needed) if needed > 0 else Verdict("unchanged", text)


def needed_events(signal: Signal, before: tuple[float, int], usual: float | None) -> int:
    """How many events at the usual rate would show that it helped; 0 where no number would."""
    rate = usual if usual is not None else 0.0
    count = 4
    while count <= MOST_NEEDED:
        reading = Reading(rate * count, count, *before)
        if (score(signal, reading) or 0.0) <= -SURE and _part(signal, reading) <= -FELL:
            return count
        count = count + max(count // 8, 1)
    return 0


def is_back(signal: Signal, now: tuple[float, int], usual: tuple[float, int] | None) -> bool:
    """Whether the signal is back to its usual: no rise worth the name above it, and enough events to say so."""
    if not usual or not usual[1] or now[1] < 10:
        return False
    reading = Reading(*now, *usual)
    return rise(signal, reading) <= signal.floor or (reading.rate or 0.0) <= BACK_MARGIN * (reading.usual or 0.0)


def _part(signal: Signal, reading: Reading) -> float:
    """By which part of itself it moved."""
    return (reading.rate or 0.0) / reading.usual - 1 if reading.usual else 0.0


def _figure(signal: Signal, value: float | None) -> str:
    return formats.figure(value, signal.unit)


def _span(passed: timedelta) -> str:
    return formats.span_text(max(timedelta(minutes=passed // timedelta(minutes=1)), timedelta(minutes=1)))
